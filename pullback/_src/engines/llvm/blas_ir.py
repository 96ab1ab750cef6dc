"""The number of threads of BLAS, which is one while a program is in a routine (see `blas.py`)."""

from __future__ import annotations

BLAS_IR = """
@blas_lock = internal global i32 0
@blas_inside = internal global i64 0        ; programs in routines
@blas_before = internal global i32 1        ; the number of threads that is set when nobody is inside
@pb_blas_get_threads = global ptr null      ; functions of the library
@pb_blas_set_threads = global ptr null

define void @pb_blas_begin() {
  call void @lock(ptr @blas_lock)
  %old = load i64, ptr @blas_inside
  %new = add i64 %old, 1
  store i64 %new, ptr @blas_inside
  %first = icmp eq i64 %old, 0
  br i1 %first, label %look, label %done
look:
  %get = load ptr, ptr @pb_blas_get_threads
  %threads = call i32 %get()
  store i32 %threads, ptr @blas_before
  %several = icmp ne i32 %threads, 1
  br i1 %several, label %set, label %done
set:
  %set_threads = load ptr, ptr @pb_blas_set_threads
  call void %set_threads(i32 1)
  br label %done
done:
  call void @unlock(ptr @blas_lock)
  ret void
}

define void @pb_blas_end() {
  call void @lock(ptr @blas_lock)
  %old = load i64, ptr @blas_inside
  %new = sub i64 %old, 1
  store i64 %new, ptr @blas_inside
  %last = icmp eq i64 %new, 0
  br i1 %last, label %look, label %done
look:
  %threads = load i32, ptr @blas_before
  %several = icmp ne i32 %threads, 1
  br i1 %several, label %set, label %done
set:
  %set_threads = load ptr, ptr @pb_blas_set_threads
  call void %set_threads(i32 %threads)
  br label %done
done:
  call void @unlock(ptr @blas_lock)
  ret void
}

; In a forked child nobody is inside.
define internal void @blas_reset() {
  call void @unlock(ptr @blas_lock)
  %old = load i64, ptr @blas_inside
  store i64 0, ptr @blas_inside
  %some = icmp ne i64 %old, 0
  br i1 %some, label %set, label %done
set:
  %threads = load i32, ptr @blas_before
  %set_threads = load ptr, ptr @pb_blas_set_threads
  call void %set_threads(i32 %threads)
  br label %done
done:
  ret void
}
"""
