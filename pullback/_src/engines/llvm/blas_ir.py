"""BLAS in programs: products, and its number of threads, which is one while a program is in a routine.

See `blas.py` and `products.py`.
"""

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

; Products of matrices (%what is a task of `products.py`): a chunk is some matrices of a stack, or a tile of
; one product.
define internal void @blas_chunk(ptr %context, i64 %chunk, i64 %thread) {
entry:
  %rows = alloca i64
  %columns = alloca i64
  %what = load ptr, ptr %context
  %gemm_place = getelementptr ptr, ptr %context, i64 1
  %gemm = load ptr, ptr %gemm_place
  %x_place = getelementptr ptr, ptr %context, i64 2
  %x = load ptr, ptr %x_place
  %y_place = getelementptr ptr, ptr %context, i64 3
  %y = load ptr, ptr %y_place
  %out_place = getelementptr ptr, ptr %context, i64 4
  %out = load ptr, ptr %out_place
  %of_y = getelementptr i64, ptr %what, i64 0
  %of_x = getelementptr i64, ptr %what, i64 1
  %k = getelementptr i64, ptr %what, i64 4
  %between_y = getelementptr i64, ptr %what, i64 5
  %between_x = getelementptr i64, ptr %what, i64 6
  %between_out = getelementptr i64, ptr %what, i64 7
  %alpha = getelementptr i64, ptr %what, i64 8
  %beta = getelementptr i64, ptr %what, i64 10
  %n_place = getelementptr i64, ptr %what, i64 2
  %n = load i64, ptr %n_place
  %m_place = getelementptr i64, ptr %what, i64 3
  %m = load i64, ptr %m_place
  %step_x_place = getelementptr i64, ptr %what, i64 12
  %step_x = load i64, ptr %step_x_place
  %step_y_place = getelementptr i64, ptr %what, i64 13
  %step_y = load i64, ptr %step_y_place
  %step_out_place = getelementptr i64, ptr %what, i64 14
  %step_out = load i64, ptr %step_out_place
  %stack_place = getelementptr i64, ptr %what, i64 15
  %stack = load i64, ptr %stack_place
  %several_place = getelementptr i64, ptr %what, i64 16
  %several = load i64, ptr %several_place
  %height_place = getelementptr i64, ptr %what, i64 18
  %height = load i64, ptr %height_place
  %width_place = getelementptr i64, ptr %what, i64 19
  %width = load i64, ptr %width_place
  %across_place = getelementptr i64, ptr %what, i64 20
  %across = load i64, ptr %across_place
  %row_x_place = getelementptr i64, ptr %what, i64 21
  %row_x = load i64, ptr %row_x_place
  %column_y_place = getelementptr i64, ptr %what, i64 22
  %column_y = load i64, ptr %column_y_place
  %row_out_place = getelementptr i64, ptr %what, i64 23
  %row_out = load i64, ptr %row_out_place
  %column_out_place = getelementptr i64, ptr %what, i64 24
  %column_out = load i64, ptr %column_out_place
  %down_number = udiv i64 %chunk, %across
  %across_number = urem i64 %chunk, %across
  %one = icmp eq i64 %stack, 1
  %down = select i1 %one, i64 %down_number, i64 0
  %i = mul i64 %down, %height
  %right = select i1 %one, i64 %across_number, i64 0
  %j = mul i64 %right, %width
  %below = sub i64 %m, %i
  %is_high = icmp ult i64 %height, %below
  %high = select i1 %is_high, i64 %height, i64 %below
  store i64 %high, ptr %rows
  %beside = sub i64 %n, %j
  %is_wide = icmp ult i64 %width, %beside
  %wide = select i1 %is_wide, i64 %width, i64 %beside
  store i64 %wide, ptr %columns
  %start = mul i64 %chunk, %several
  %first = select i1 %one, i64 0, i64 %start
  %stop = add i64 %first, %several
  %within = icmp ult i64 %stop, %stack
  %last = select i1 %within, i64 %stop, i64 %stack
  %offset_x = mul i64 %i, %row_x
  %offset_y = mul i64 %j, %column_y
  %offset_i = mul i64 %i, %row_out
  %offset_j = mul i64 %j, %column_out
  %offset_out = add i64 %offset_i, %offset_j
  %first_x = getelementptr i8, ptr %x, i64 %offset_x
  %first_y = getelementptr i8, ptr %y, i64 %offset_y
  %first_out = getelementptr i8, ptr %out, i64 %offset_out
  %get = load ptr, ptr @pb_blas_get_threads
  %controlled = icmp ne ptr %get, null
  br i1 %controlled, label %begin, label %loop
begin:
  call void @pb_blas_begin()
  br label %loop
loop:
  %b = phi i64 [%first, %entry], [%first, %begin], [%next, %loop]
  %matrix_x = mul i64 %b, %step_x
  %x_here = getelementptr i8, ptr %first_x, i64 %matrix_x
  %matrix_y = mul i64 %b, %step_y
  %y_here = getelementptr i8, ptr %first_y, i64 %matrix_y
  %matrix_out = mul i64 %b, %step_out
  %out_here = getelementptr i8, ptr %first_out, i64 %matrix_out
  call void %gemm(ptr %of_y, ptr %of_x, ptr %columns, ptr %rows, ptr %k, ptr %alpha, ptr %y_here,
                  ptr %between_y, ptr %x_here, ptr %between_x, ptr %beta, ptr %out_here,
                  ptr %between_out, i64 1, i64 1)
  %next = add i64 %b, 1
  %more = icmp ult i64 %next, %last
  br i1 %more, label %loop, label %after
after:
  br i1 %controlled, label %end, label %done
end:
  call void @pb_blas_end()
  br label %done
done:
  ret void
}

define internal void @blas_context(ptr %context, ptr %what, ptr %gemm, ptr %x, ptr %y, ptr %out) {
  store ptr %what, ptr %context
  %gemm_place = getelementptr ptr, ptr %context, i64 1
  store ptr %gemm, ptr %gemm_place
  %x_place = getelementptr ptr, ptr %context, i64 2
  store ptr %x, ptr %x_place
  %y_place = getelementptr ptr, ptr %context, i64 3
  store ptr %y, ptr %y_place
  %out_place = getelementptr ptr, ptr %context, i64 4
  store ptr %out, ptr %out_place
  ret void
}

define void @pb_product(ptr %what, ptr %gemm, ptr %x, ptr %y, ptr %out) {
  %context = alloca [5 x ptr]
  call void @blas_context(ptr %context, ptr %what, ptr %gemm, ptr %x, ptr %y, ptr %out)
  call void @blas_chunk(ptr %context, i64 0, i64 0)
  ret void
}

; The same in several chunks; returns whether it was interrupted.
define i32 @pb_products(ptr %what, ptr %gemm, ptr %x, ptr %y, ptr %out) {
  %context = alloca [5 x ptr]
  call void @blas_context(ptr %context, ptr %what, ptr %gemm, ptr %x, ptr %y, ptr %out)
  %chunks_place = getelementptr i64, ptr %what, i64 17
  %chunks = load i64, ptr %chunks_place
  %status = call i32 @pb_parallel(ptr @blas_chunk, ptr %context, i64 %chunks)
  ret i32 %status
}
"""
