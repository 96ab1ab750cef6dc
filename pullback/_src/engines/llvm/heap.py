"""Memory of compiled programs: their results and their arenas.

Fresh memory from the operating system costs more than many kernels that fill it (a page fault for each 4 KiB:
16 MB take 2 to 4 ms). So large blocks are kept when they are freed and given out again. There are eight sizes
for each power of two, so at most an eighth of a block is unused (and untouched, so not resident). Blocks that
are kept count against a limit; beyond it, the size that was asked for longest ago loses a block.

Small blocks (under 64 KiB) go to the C library, which is fast for them.

The results of programs are NumPy arrays whose memory comes from here: their `mem_handler` (NEP 49) is
`pb_handler`, which gives it back.
"""

from __future__ import annotations

HEAP_IR = """
@heap_lock = internal global i32 0
@heap_heads = internal global [256 x ptr] zeroinitializer   ; lists of blocks that are kept
@heap_stamps = internal global [256 x i64] zeroinitializer  ; when a size was last asked for
@heap_clock = internal global i64 0
@heap_kept = internal global i64 0                          ; bytes that are kept
@heap_limit = internal global i64 $HEAP_LIMIT
@heap_used = internal global i64 0                          ; bytes given out, in large blocks
@heap_peak = internal global i64 0

declare ptr @malloc(i64)
declare ptr @calloc(i64, i64)
declare void @free(ptr)
declare i32 @posix_memalign(ptr, i64, i64)
declare i32 @madvise(ptr, i64, i32)
declare i32 @sched_yield()
declare i64 @llvm.ctlz.i64(i64, i1)

define internal void @lock(ptr %word) {
entry:
  br label %try
try:
  %spins = phi i32 [0, %entry], [%more, %wait]
  %pair = cmpxchg ptr %word, i32 0, i32 1 acquire monotonic
  %got = extractvalue {i32, i1} %pair, 1
  br i1 %got, label %done, label %busy
busy:
  %more = add i32 %spins, 1
  %low = and i32 %more, 63
  %long = icmp eq i32 %low, 0
  br i1 %long, label %yield, label %wait
yield:  ; whoever holds the lock may be waiting for this CPU
  %ignored = call i32 @sched_yield()
  br label %wait
wait:
  call void @pause()
  br label %try
done:
  ret void
}

define internal void @unlock(ptr %word) {
  store atomic i32 0, ptr %word release, align 4
  ret void
}

; The number of the size that `size` (at least 64 KiB) is rounded up to.
define internal i64 @heap_class(i64 %size) {
  %less = sub i64 %size, 1
  %zeros = call i64 @llvm.ctlz.i64(i64 %less, i1 true)
  %exponent = sub i64 63, %zeros
  %shift = sub i64 %exponent, 3
  %mantissa = lshr i64 %less, %shift
  %octave = sub i64 %exponent, 15
  %first = mul i64 %octave, 8
  %step = sub i64 %mantissa, 8
  %class = add i64 %first, %step
  ret i64 %class
}

define internal i64 @heap_class_bytes(i64 %class) {
  %step = and i64 %class, 7
  %mantissa = add i64 %step, 9
  %octave = lshr i64 %class, 3
  %shift = add i64 %octave, 12
  %bytes = shl i64 %mantissa, %shift
  ret i64 %bytes
}

; Memory, aligned to 64 bytes if it is 4 KiB or more and to 16 if it is less; null if there is none.
define ptr @pb_alloc(i64 %size) {
entry:
  %is_large = icmp uge i64 %size, 65536
  br i1 %is_large, label %large, label %not_large
not_large:
  %is_small = icmp ult i64 %size, 4096
  br i1 %is_small, label %small, label %middle
small:
  %empty = icmp eq i64 %size, 0
  %at_least = select i1 %empty, i64 1, i64 %size
  %small_block = call ptr @malloc(i64 %at_least)
  ret ptr %small_block
middle:
  %middle_block = call ptr @aligned(i64 64, i64 %size)
  ret ptr %middle_block
large:
  %absurd = icmp ugt i64 %size, 70368744177664
  br i1 %absurd, label %none, label %sensible
none:
  ret ptr null
sensible:
  %class = call i64 @heap_class(i64 %size)
  %bytes = call i64 @heap_class_bytes(i64 %class)
  %head = getelementptr ptr, ptr @heap_heads, i64 %class
  %stamp = getelementptr i64, ptr @heap_stamps, i64 %class
  call void @lock(ptr @heap_lock)
  %clock = load i64, ptr @heap_clock
  %now = add i64 %clock, 1
  store i64 %now, ptr @heap_clock
  store i64 %now, ptr %stamp
  %kept_block = load ptr, ptr %head
  %found = icmp ne ptr %kept_block, null
  br i1 %found, label %take, label %fresh
take:
  %next = load ptr, ptr %kept_block
  store ptr %next, ptr %head
  %kept = load i64, ptr @heap_kept
  %kept_less = sub i64 %kept, %bytes
  store i64 %kept_less, ptr @heap_kept
  call void @unlock(ptr @heap_lock)
  br label %done
fresh:
  call void @unlock(ptr @heap_lock)
  %huge = icmp uge i64 %bytes, 4194304
  %alignment = select i1 %huge, i64 2097152, i64 4096
  %first_try = call ptr @aligned(i64 %alignment, i64 %bytes)
  %failed = icmp eq ptr %first_try, null
  br i1 %failed, label %retry, label %got
retry:
  call void @pb_release_memory()
  %second_try = call ptr @aligned(i64 %alignment, i64 %bytes)
  %hopeless = icmp eq ptr %second_try, null
  br i1 %hopeless, label %none, label %got
got:
  %new_block = phi ptr [%first_try, %fresh], [%second_try, %retry]
  br i1 %huge, label %advise, label %done
advise:
  %ignored = call i32 @madvise(ptr %new_block, i64 %bytes, i32 $MADV_HUGEPAGE)
  br label %done
done:
  %block = phi ptr [%kept_block, %take], [%new_block, %got], [%new_block, %advise]
  %used = atomicrmw add ptr @heap_used, i64 %bytes monotonic
  %used_now = add i64 %used, %bytes
  %peak = atomicrmw umax ptr @heap_peak, i64 %used_now monotonic
  ret ptr %block
}

define internal ptr @aligned(i64 %alignment, i64 %size) {
  %place = alloca ptr
  %status = call i32 @posix_memalign(ptr %place, i64 %alignment, i64 %size)
  %good = icmp eq i32 %status, 0
  %block = load ptr, ptr %place
  %result = select i1 %good, ptr %block, ptr null
  ret ptr %result
}

; Give back a block of `pb_alloc(size)`.
define void @pb_free(ptr %block, i64 %size) {
entry:
  %is_large = icmp uge i64 %size, 65536
  br i1 %is_large, label %large, label %small
small:
  call void @free(ptr %block)
  ret void
large:
  %class = call i64 @heap_class(i64 %size)
  %bytes = call i64 @heap_class_bytes(i64 %class)
  %used = atomicrmw sub ptr @heap_used, i64 %bytes monotonic
  %limit = load atomic i64, ptr @heap_limit monotonic, align 8
  %too_big = icmp ugt i64 %bytes, %limit
  br i1 %too_big, label %small, label %make_room
make_room:
  call void @lock(ptr @heap_lock)
  %kept = load i64, ptr @heap_kept
  %kept_more = add i64 %kept, %bytes
  %fits = icmp ule i64 %kept_more, %limit
  br i1 %fits, label %keep, label %evict
evict:
  %victim = call ptr @heap_evict()
  call void @unlock(ptr @heap_lock)
  call void @free(ptr %victim)  ; slow, so without the lock
  br label %make_room
keep:
  %head = getelementptr ptr, ptr @heap_heads, i64 %class
  %next = load ptr, ptr %head
  store ptr %next, ptr %block
  store ptr %block, ptr %head
  store i64 %kept_more, ptr @heap_kept
  call void @unlock(ptr @heap_lock)
  ret void
}

; Take a block of the size that was asked for longest ago (with the lock held); null if none is kept.
define internal ptr @heap_evict() {
entry:
  br label %scan
scan:
  %class = phi i64 [0, %entry], [%class_next, %scan_end]
  %best = phi i64 [-1, %entry], [%best_next, %scan_end]
  %oldest = phi i64 [-1, %entry], [%oldest_next, %scan_end]
  %head = getelementptr ptr, ptr @heap_heads, i64 %class
  %first = load ptr, ptr %head
  %stamp_place = getelementptr i64, ptr @heap_stamps, i64 %class
  %stamp = load i64, ptr %stamp_place
  %there = icmp ne ptr %first, null
  %older = icmp ult i64 %stamp, %oldest
  %better = and i1 %there, %older
  br label %scan_end
scan_end:
  %best_next = select i1 %better, i64 %class, i64 %best
  %oldest_next = select i1 %better, i64 %stamp, i64 %oldest
  %class_next = add i64 %class, 1
  %more = icmp ult i64 %class_next, 256
  br i1 %more, label %scan, label %chosen
chosen:
  %none = icmp eq i64 %best_next, -1
  br i1 %none, label %empty, label %pop
empty:
  store i64 0, ptr @heap_kept
  ret ptr null
pop:
  %victim_head = getelementptr ptr, ptr @heap_heads, i64 %best_next
  %victim = load ptr, ptr %victim_head
  %next = load ptr, ptr %victim
  store ptr %next, ptr %victim_head
  %bytes = call i64 @heap_class_bytes(i64 %best_next)
  %kept = load i64, ptr @heap_kept
  %less = sub i64 %kept, %bytes
  store i64 %less, ptr @heap_kept
  ret ptr %victim
}

; Return all memory that is kept to the C library.
define void @pb_release_memory() {
entry:
  br label %next
next:
  call void @lock(ptr @heap_lock)
  %victim = call ptr @heap_evict()
  call void @unlock(ptr @heap_lock)
  %none = icmp eq ptr %victim, null
  br i1 %none, label %done, label %drop
drop:
  call void @free(ptr %victim)
  br label %next
done:
  ret void
}

define void @pb_memory_limit(i64 %bytes) {
entry:
  store atomic i64 %bytes, ptr @heap_limit monotonic, align 8
  br label %next
next:
  call void @lock(ptr @heap_lock)
  %kept = load i64, ptr @heap_kept
  %over = icmp ugt i64 %kept, %bytes
  br i1 %over, label %drop, label %done
drop:
  %victim = call ptr @heap_evict()
  call void @unlock(ptr @heap_lock)
  call void @free(ptr %victim)
  br label %next
done:
  call void @unlock(ptr @heap_lock)
  ret void
}

; Bytes in use, their peak since it was last reset, and bytes kept.
define void @pb_memory_statistics(ptr %out, i32 %reset) {
entry:
  %used = load atomic i64, ptr @heap_used monotonic, align 8
  %peak = load atomic i64, ptr @heap_peak monotonic, align 8
  %kept = load atomic i64, ptr @heap_kept monotonic, align 8
  store i64 %used, ptr %out
  %out1 = getelementptr i64, ptr %out, i64 1
  store i64 %peak, ptr %out1
  %out2 = getelementptr i64, ptr %out, i64 2
  store i64 %kept, ptr %out2
  %wanted = icmp ne i32 %reset, 0
  br i1 %wanted, label %again, label %done
again:
  store atomic i64 %used, ptr @heap_peak monotonic, align 8
  br label %done
done:
  ret void
}

; Scratch memory of a program, aligned to 64 bytes.
define ptr @pb_arena_take(i64 %size) {
  %small = icmp ult i64 %size, 4096
  %enough = select i1 %small, i64 4096, i64 %size
  %block = call ptr @pb_alloc(i64 %enough)
  ret ptr %block
}

define void @pb_arena_give(ptr %block, i64 %size) {
  %small = icmp ult i64 %size, 4096
  %enough = select i1 %small, i64 4096, i64 %size
  call void @pb_free(ptr %block, i64 %enough)
  ret void
}

; A fork copies the lock in whatever state it is in: hold it meanwhile, so that the lists are whole.
define void @pb_fork_before() {
  call void @lock(ptr @heap_lock)
  ret void
}

define void @pb_fork_in_parent() {
  call void @unlock(ptr @heap_lock)
  ret void
}

; NumPy's view of all this: struct PyDataMem_Handler of NEP 49.
@pb_handler = global {[127 x i8], i8, ptr, ptr, ptr, ptr, ptr} {
  [127 x i8] c"pullback$ZEROS", i8 1, ptr null,
  ptr @handler_malloc, ptr @handler_calloc, ptr @handler_realloc, ptr @handler_free}

define internal ptr @handler_malloc(ptr %context, i64 %size) {
  %block = call ptr @pb_alloc(i64 %size)
  ret ptr %block
}

define internal ptr @handler_calloc(ptr %context, i64 %count, i64 %size) {
  ret ptr null  ; NumPy makes no array of its own with this handler
}

define internal ptr @handler_realloc(ptr %context, ptr %block, i64 %size) {
  ret ptr null  ; results are not resized in place; a block's size could not be known
}

define internal void @handler_free(ptr %context, ptr %block, i64 %size) {
  call void @pb_free(ptr %block, i64 %size)
  ret void
}
""".replace("$ZEROS", r"\00" * (127 - len("pullback")))
