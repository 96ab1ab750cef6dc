"""Conversions of half precision for CPUs without instructions for them (x86-64 before F16C).

LLVM calls them by these names. Rounding is to nearest, ties to even; NaNs stay NaN and become quiet.
"""

from __future__ import annotations

HALF_IR = """
define float @__extendhfsf2(half %x) {
  %narrow = bitcast half %x to i16
  %word = zext i16 %narrow to i32
  %signed = and i32 %word, 32768
  %sign = shl i32 %signed, 16
  %rest = and i32 %word, 32767
  %moved = shl i32 %rest, 13
  %small = bitcast i32 %moved to float
  %value = fmul float %small, 0x46F0000000000000  ; 2^112: exact, also for what is subnormal
  %bits = bitcast float %value to i32
  %special = icmp uge i32 %rest, 31744
  %nan = icmp ugt i32 %rest, 31744
  %quiet = select i1 %nan, i32 2143289344, i32 2139095040
  %infinite = or i32 %moved, %quiet
  %absolute = select i1 %special, i32 %infinite, i32 %bits
  %all = or i32 %absolute, %sign
  %result = bitcast i32 %all to float
  ret float %result
}

define half @__truncsfhf2(float %x) {
  %word = bitcast float %x to i32
  %sign = and i32 %word, -2147483648
  %rest = xor i32 %word, %sign
  ; Subnormal results: adding 1/2 leaves their bits, rounded, at the end.
  %absolute = bitcast i32 %rest to float
  %sum = fadd float %absolute, 0.5
  %sum.bits = bitcast float %sum to i32
  %low = sub i32 %sum.bits, 1056964608
  ; Normal results: the exponent is moved, what is cut off rounded.
  %last.bit = lshr i32 %rest, 13
  %odd = and i32 %last.bit, 1
  %biased = add i32 %rest, -939520001
  %rounded = add i32 %biased, %odd
  %high = lshr i32 %rounded, 13
  %is_low = icmp ult i32 %rest, 947912704
  %finite = select i1 %is_low, i32 %low, i32 %high
  %payload = and i32 %last.bit, 1023
  %quiet = or i32 %payload, 32256
  %nan = icmp ugt i32 %rest, 2139095040
  %special = select i1 %nan, i32 %quiet, i32 31744
  %is_special = icmp uge i32 %rest, 1199566848
  %magnitude = select i1 %is_special, i32 %special, i32 %finite
  %sign.bit = lshr i32 %sign, 16
  %all = or i32 %magnitude, %sign.bit
  %narrow = trunc i32 %all to i16
  %result = bitcast i16 %narrow to half
  ret half %result
}

; By way of a float whose last bit says whether anything was cut off, so that nothing is rounded twice.
define half @__truncdfhf2(double %x) {
  %near = fptrunc double %x to float
  %back = fpext float %near to double
  %inexact = fcmp one double %back, %x
  %size = call double @llvm.fabs.f64(double %x)
  %back.size = call double @llvm.fabs.f64(double %back)
  %above = fcmp ogt double %back.size, %size
  %word = bitcast float %near to i32
  %less = sext i1 %above to i32
  %below = add i32 %word, %less
  %odd = or i32 %below, 1
  %chosen = select i1 %inexact, i32 %odd, i32 %word
  %value = bitcast i32 %chosen to float
  %result = call half @__truncsfhf2(float %value)
  ret half %result
}
"""

HALF_FUNCTIONS = ("__extendhfsf2", "__truncsfhf2", "__truncdfhf2")

__all__ = ["HALF_FUNCTIONS", "HALF_IR"]
