"""Arguments and results of entries, as LLVM IR: where an argument's data are, and new arrays for results.

Offsets into objects are those of `layout.py`; places in tables those of `entry.py`.
"""

from __future__ import annotations

VALUES_IR = """
; Where the data of an argument are, or null. `scratch` has room for a number.
define internal ptr @argument(ptr %value, ptr %row, ptr %scratch) {
entry:
  %overflow = alloca i32
  %type_place = getelementptr i8, ptr %value, i64 8
  %type = load ptr, ptr %type_place
  %is_concrete = icmp eq ptr %type, @concrete_type
  br i1 %is_concrete, label %concrete, label %not_concrete
concrete:
  %aval_place = getelementptr i8, ptr %value, i64 24
  %aval = load ptr, ptr %aval_place
  %aval_expected = load ptr, ptr %row
  %same_aval = icmp eq ptr %aval, %aval_expected
  br i1 %same_aval, label %unwrap, label %no
unwrap:
  %data_place = getelementptr i8, ptr %value, i64 16
  %inner = load ptr, ptr %data_place
  %is_null = icmp eq ptr %inner, null
  br i1 %is_null, label %no, label %inner_type
inner_type:
  %inner_type_place = getelementptr i8, ptr %inner, i64 8
  %inner_type_value = load ptr, ptr %inner_type_place
  %inner_is_array = icmp eq ptr %inner_type_value, @array_type
  br i1 %inner_is_array, label %array, label %no
not_concrete:
  %dtype_wanted_place = getelementptr i64, ptr %row, i64 2
  %dtype_wanted = load ptr, ptr %dtype_wanted_place
  %takes_arrays = icmp ne ptr %dtype_wanted, null
  %is_array = icmp eq ptr %type, @array_type
  %maybe_array = and i1 %takes_arrays, %is_array
  br i1 %maybe_array, label %numpy, label %number
numpy:
  %dtype_place = getelementptr i8, ptr %value, i64 56
  %dtype = load ptr, ptr %dtype_place
  %same_dtype = icmp eq ptr %dtype, %dtype_wanted
  br i1 %same_dtype, label %array, label %no

array:
  %array_value = phi ptr [%inner, %inner_type], [%value, %numpy]
  %flags_place = getelementptr i8, ptr %array_value, i64 64
  %flags = load i32, ptr %flags_place
  %flags_needed = and i32 %flags, 257  ; C_CONTIGUOUS | ALIGNED
  %good_flags = icmp eq i32 %flags_needed, 257
  br i1 %good_flags, label %dimensions, label %no
dimensions:  ; the type says this too, but a wrong one would mean access outside of the memory
  %ndim_place = getelementptr i8, ptr %array_value, i64 24
  %ndim_32 = load i32, ptr %ndim_place
  %ndim = sext i32 %ndim_32 to i64
  %ndim_wanted_place = getelementptr i64, ptr %row, i64 3
  %ndim_wanted = load i64, ptr %ndim_wanted_place
  %same_ndim = icmp eq i64 %ndim, %ndim_wanted
  br i1 %same_ndim, label %sizes, label %no
sizes:
  %dims_place = getelementptr i8, ptr %array_value, i64 32
  %dims = load ptr, ptr %dims_place
  %dims_wanted_place = getelementptr i64, ptr %row, i64 4
  %dims_wanted = load ptr, ptr %dims_wanted_place
  br label %next_size
next_size:
  %d = phi i64 [0, %sizes], [%d_more, %compare_size]
  %d_there = icmp slt i64 %d, %ndim
  br i1 %d_there, label %compare_size, label %yes
compare_size:
  %size_place = getelementptr i64, ptr %dims, i64 %d
  %size = load i64, ptr %size_place
  %size_wanted_place = getelementptr i64, ptr %dims_wanted, i64 %d
  %size_wanted = load i64, ptr %size_wanted_place
  %d_more = add i64 %d, 1
  %same_size = icmp eq i64 %size, %size_wanted
  br i1 %same_size, label %next_size, label %no
yes:
  %pointer_place = getelementptr i8, ptr %array_value, i64 16
  %pointer = load ptr, ptr %pointer_place
  ret ptr %pointer

number:
  %scalar_place = getelementptr i64, ptr %row, i64 1
  %scalar = load i64, ptr %scalar_place
  switch i64 %scalar, label %no [i64 1, label %float i64 2, label %float i64 3, label %int i64 4, label %int
                                 i64 5, label %bool]
float:
  %is_float = icmp eq ptr %type, @PyFloat_Type
  br i1 %is_float, label %float_value, label %no
float_value:
  %double = call double @PyFloat_AsDouble(ptr %value)
  %is_f32 = icmp eq i64 %scalar, 1
  br i1 %is_f32, label %single, label %store_double
store_double:
  store double %double, ptr %scratch
  ret ptr %scratch
single:  ; overflow is the long way's business
  %rounded = fptrunc double %double to float
  %back = fpext float %rounded to double
  %size_back = call double @llvm.fabs.f64(double %back)
  %became_infinite = fcmp oeq double %size_back, 0x7FF0000000000000
  %size_before = call double @llvm.fabs.f64(double %double)
  %was_infinite = fcmp oeq double %size_before, 0x7FF0000000000000
  %overflowed = icmp ne i1 %became_infinite, %was_infinite
  br i1 %overflowed, label %no, label %store_single
store_single:
  store float %rounded, ptr %scratch
  ret ptr %scratch
int:
  %is_int = icmp eq ptr %type, @PyLong_Type
  br i1 %is_int, label %int_value, label %no
int_value:
  %long = call i64 @PyLong_AsLongLongAndOverflow(ptr %value, ptr %overflow)
  %flag = load i32, ptr %overflow
  %fits_64 = icmp eq i32 %flag, 0
  br i1 %fits_64, label %int_size, label %no
int_size:
  %is_i64 = icmp eq i64 %scalar, 4
  br i1 %is_i64, label %store_long, label %narrow
store_long:
  store i64 %long, ptr %scratch
  ret ptr %scratch
narrow:
  %int_32 = trunc i64 %long to i32
  %wide = sext i32 %int_32 to i64
  %fits_32 = icmp eq i64 %wide, %long
  br i1 %fits_32, label %store_int, label %no
store_int:
  store i32 %int_32, ptr %scratch
  ret ptr %scratch
bool:
  %is_true = icmp eq ptr %value, @_Py_TrueStruct
  %is_false = icmp eq ptr %value, @_Py_FalseStruct
  %is_bool = or i1 %is_true, %is_false
  br i1 %is_bool, label %store_bool, label %no
store_bool:
  %byte = zext i1 %is_true to i8
  store i8 %byte, ptr %scratch
  ret ptr %scratch
no:
  ret ptr null
}

; Take the arguments that are given away, if the memory of each can be reached through that argument alone:
; they become deleted arrays, and only `held` refers to their memory, and the results that will be in it.
; Nothing happens if one cannot be taken. No other thread of Python comes between the look and the deed.
;
; An argument that is passed twice, or shares its memory with another one, has too many references.
define internal i1 @take_given(ptr %table, ptr %arguments, ptr %held) {
entry:
  %given_count_place = getelementptr i64, ptr %table, i64 21
  %given_count = load i64, ptr %given_count_place
  %rows_place = getelementptr i64, ptr %table, i64 22
  %rows = load ptr, ptr %rows_place
  br label %next
next:
  %g = phi i64 [0, %entry], [%g_more, %writable]
  %there = icmp ult i64 %g, %given_count
  br i1 %there, label %look, label %take
look:
  %g_more = add i64 %g, 1
  %row = getelementptr [2 x i64], ptr %rows, i64 %g
  %number = load i64, ptr %row
  %value_place = getelementptr ptr, ptr %arguments, i64 %number
  %value = load ptr, ptr %value_place
  %type_place = getelementptr i8, ptr %value, i64 8
  %type = load ptr, ptr %type_place
  %is_concrete = icmp eq ptr %type, @concrete_type
  br i1 %is_concrete, label %same_data, label %no
same_data:
  %data_place = getelementptr i8, ptr %value, i64 16
  %data = load ptr, ptr %data_place
  %held_place = getelementptr ptr, ptr %held, i64 %number
  %held_data = load ptr, ptr %held_place
  %is_same = icmp eq ptr %data, %held_data
  br i1 %is_same, label %count_references, label %no
count_references:
  %references = load i32, ptr %data
  %expected_place = getelementptr i64, ptr %row, i64 1
  %expected_64 = load i64, ptr %expected_place
  %expected = trunc i64 %expected_64 to i32
  %alone = icmp eq i32 %references, %expected
  br i1 %alone, label %owner, label %no
owner:
  %base_place = getelementptr i8, ptr %data, i64 48
  %base = load ptr, ptr %base_place
  %has_no_base = icmp eq ptr %base, null
  br i1 %has_no_base, label %writable, label %no
writable:
  %flags_place = getelementptr i8, ptr %data, i64 64
  %flags = load i32, ptr %flags_place
  %flags_needed = and i32 %flags, 1028  ; WRITEABLE | OWNDATA
  %good_flags = icmp eq i32 %flags_needed, 1028
  br i1 %good_flags, label %next, label %no
no:
  ret i1 false

take:
  %t = phi i64 [0, %next], [%t_more, %take_one]
  %t_there = icmp ult i64 %t, %given_count
  br i1 %t_there, label %take_one, label %yes
take_one:
  %t_more = add i64 %t, 1
  %t_row = getelementptr [2 x i64], ptr %rows, i64 %t
  %t_number = load i64, ptr %t_row
  %t_value_place = getelementptr ptr, ptr %arguments, i64 %t_number
  %t_value = load ptr, ptr %t_value_place
  %t_data_place = getelementptr i8, ptr %t_value, i64 16
  %t_data = load ptr, ptr %t_data_place
  store ptr null, ptr %t_data_place
  call void @Py_DecRef(ptr %t_data)
  ; As an assignment to `__class__` does.
  %t_type_place = getelementptr i8, ptr %t_value, i64 8
  call void @Py_IncRef(ptr @deleted_type)
  store ptr @deleted_type, ptr %t_type_place
  call void @Py_DecRef(ptr @concrete_type)
  br label %take
yes:
  ret i1 true
}

; Let go of the arguments' buffers.
define internal void @drop_held(ptr %held, i64 %count) {
entry:
  br label %next
next:
  %d = phi i64 [0, %entry], [%d_more, %look], [%d_more, %drop]
  %there = icmp ult i64 %d, %count
  br i1 %there, label %look, label %done
look:
  %slot = getelementptr ptr, ptr %held, i64 %d
  %data = load ptr, ptr %slot
  %d_more = add i64 %d, 1
  %none = icmp eq ptr %data, null
  br i1 %none, label %next, label %drop
drop:
  call void @Py_DecRef(ptr %data)
  br label %next
done:
  ret void
}

; A ConcreteArray around the buffer of an argument that is given away; null with an exception set if there is
; no memory. If the argument has no buffer it cannot be taken, and this is not used.
define internal ptr @renamed(ptr %row, ptr %data) {
entry:
  %object = call ptr @PyType_GenericAlloc(ptr @concrete_type, i64 0)
  %no_object = icmp eq ptr %object, null
  br i1 %no_object, label %failed, label %fill
failed:
  ret ptr null
fill:
  %aval = load ptr, ptr %row
  call void @Py_IncRef(ptr %aval)
  %aval_place = getelementptr i8, ptr %object, i64 24
  store ptr %aval, ptr %aval_place
  %no_data = icmp eq ptr %data, null
  br i1 %no_data, label %done, label %share
share:
  call void @Py_IncRef(ptr %data)
  %data_place = getelementptr i8, ptr %object, i64 16
  store ptr %data, ptr %data_place
  br label %done
done:
  ret ptr %object
}

; A ConcreteArray for a result. It is in the memory of one of the arguments, or in new memory, whose address
; goes to `place`. Null with an exception set if there is no memory.
define internal ptr @result(ptr %row, ptr %place, ptr %held) {
entry:
  %source_place = getelementptr i64, ptr %row, i64 5
  %source = load i64, ptr %source_place
  %is_own = icmp slt i64 %source, 0
  br i1 %is_own, label %allocate, label %take
take:
  %buffer_place = getelementptr ptr, ptr %held, i64 %source
  %buffer = load ptr, ptr %buffer_place
  %renamed = call ptr @renamed(ptr %row, ptr %buffer)
  ret ptr %renamed
allocate:
  %bytes_place = getelementptr i64, ptr %row, i64 4
  %bytes = load i64, ptr %bytes_place
  %memory = call ptr @pb_alloc(i64 %bytes)
  %no_memory = icmp eq ptr %memory, null
  br i1 %no_memory, label %failed, label %wrap
failed:
  %n = call ptr @PyErr_NoMemory()
  ret ptr null
wrap:
  store ptr %memory, ptr %place
  %dtype_place = getelementptr i64, ptr %row, i64 1
  %dtype = load ptr, ptr %dtype_place
  %ndim_place = getelementptr i64, ptr %row, i64 2
  %ndim = load i64, ptr %ndim_place
  %ndim_32 = trunc i64 %ndim to i32
  %dims_place = getelementptr i64, ptr %row, i64 3
  %dims = load ptr, ptr %dims_place
  call void @Py_IncRef(ptr %dtype)  ; the next call takes it over, also when it fails
  ; 1281 is C_CONTIGUOUS | ALIGNED | WRITEABLE
  %array = call ptr @new_array(ptr @array_type, ptr %dtype, i32 %ndim_32, ptr %dims, ptr null,
                             ptr %memory, i32 1281, ptr null)
  %no_array = icmp eq ptr %array, null
  br i1 %no_array, label %no_wrapper, label %own
no_wrapper:
  call void @pb_free(ptr %memory, i64 %bytes)
  ret ptr null
own:  ; from here on the array frees the memory
  call void @Py_IncRef(ptr @handler_capsule)
  %handler_place = getelementptr i8, ptr %array, i64 88
  store ptr @handler_capsule, ptr %handler_place
  %flags_place = getelementptr i8, ptr %array, i64 64
  %flags = load i32, ptr %flags_place
  %owning = or i32 %flags, 4  ; OWNDATA
  store i32 %owning, ptr %flags_place
  %object = call ptr @PyType_GenericAlloc(ptr @concrete_type, i64 0)
  %no_object = icmp eq ptr %object, null
  br i1 %no_object, label %drop, label %fill
drop:
  call void @Py_DecRef(ptr %array)
  ret ptr null
fill:
  %data_place = getelementptr i8, ptr %object, i64 16
  store ptr %array, ptr %data_place
  %aval = load ptr, ptr %row
  call void @Py_IncRef(ptr %aval)
  %aval_place = getelementptr i8, ptr %object, i64 24
  store ptr %aval, ptr %aval_place
  ret ptr %object
}
"""
