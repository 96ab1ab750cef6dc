"""The native function under all entries (see `entry.py`), as LLVM IR.

Offsets into objects are those of `layout.py`; places in tables those of `entry.py`.
"""

from __future__ import annotations

ENTRY_IR = """
@concrete_type = external global i8       ; ConcreteArray
@array_type = external global i8          ; numpy.ndarray
@handler_capsule = external global i8     ; the capsule around @pb_handler
@trace_variable = external global i8      ; the context variable of the current trace
@trace_evaluation = external global i8    ; the trace that computes
@settings_variable = external global i8
@axes_variable = external global i8
@axes_none = external global i8           ; the value of @axes_variable when no axis is bound
@config_changes = external global i64

@PyTuple_Type = external global i8
@PyList_Type = external global i8
@PyDict_Type = external global i8
@_Py_NoneStruct = external global i8
@PyFloat_Type = external global i8
@PyLong_Type = external global i8
@_Py_TrueStruct = external global i8
@_Py_FalseStruct = external global i8
@_Py_NotImplementedStruct = external global i8
@PyExc_KeyboardInterrupt = external global ptr
@PyExc_RuntimeError = external global ptr

declare ptr @new_array(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)  ; PyArray_NewFromDescr
declare ptr @PyType_GenericAlloc(ptr, i64)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyTuple_GetItem(ptr, i64)
declare i64 @PyList_Size(ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare ptr @PyDict_New()
declare i64 @PyDict_Size(ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare void @PyErr_Clear()
declare ptr @PyObject_CallObject(ptr, ptr)
declare ptr @PyObject_CallFunctionObjArgs(ptr, ...)
declare ptr @PyErr_NoMemory()
declare ptr @PyErr_Occurred()
declare void @PyErr_SetNone(ptr)
declare void @PyErr_SetString(ptr, ptr)
declare double @PyFloat_AsDouble(ptr)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare i32 @PyContextVar_Get(ptr, ptr, ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare double @llvm.fabs.f64(double)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

@entry_name = internal constant [8 x i8] c"program\\00"
@entry_doc = internal constant [37 x i8] c"A compiled program of Pullback's jit\\00"
@pb_entry_method = global {ptr, ptr, i32, ptr} {  ; PyMethodDef with METH_FASTCALL
  ptr @entry_name, ptr @entry, i32 128, ptr @entry_doc}
@broken_message = internal constant [37 x i8] c"a compiled program failed in no way\\00\\00"

; Whether a context variable has this value: 1 yes, 0 no, -1 an exception is set.
define internal i32 @variable_is(ptr %variable, ptr %expected) {
entry:
  %place = alloca ptr
  %status = call i32 @PyContextVar_Get(ptr %variable, ptr null, ptr %place)
  %bad = icmp slt i32 %status, 0
  br i1 %bad, label %failed, label %got
failed:
  ret i32 -1
got:
  %value = load ptr, ptr %place
  %missing = icmp eq ptr %value, null
  br i1 %missing, label %no, label %compare
no:
  ret i32 0
compare:
  call void @Py_DecRef(ptr %value)
  %same = icmp eq ptr %value, %expected
  %result = zext i1 %same to i32
  ret i32 %result
}

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

; A new ConcreteArray; its memory's address goes to `place`. Null with an exception set if there is no memory.
define internal ptr @result(ptr %row, ptr %place) {
entry:
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

; Put the leaves of `value` (new references) where cursor[1] points to, if its structure is that of cursor[0]:
; 0 leaf; 1 tuple, 2 list: length, items; 3 dict: length, keys and values in turn; 4 None.
define internal i1 @flatten(ptr %cursor, ptr %value) {
entry:
  %code = load ptr, ptr %cursor
  %kind = load i64, ptr %code
  %code_1 = getelementptr i64, ptr %code, i64 1
  store ptr %code_1, ptr %cursor
  %type_place = getelementptr i8, ptr %value, i64 8
  %type = load ptr, ptr %type_place
  switch i64 %kind, label %no [i64 0, label %leaf i64 1, label %tuple i64 2, label %list i64 3, label %dict
                               i64 4, label %none]
no:
  ret i1 false
leaf:
  %leaves_place = getelementptr ptr, ptr %cursor, i64 1
  %leaves = load ptr, ptr %leaves_place
  call void @Py_IncRef(ptr %value)
  store ptr %value, ptr %leaves
  %leaves_1 = getelementptr ptr, ptr %leaves, i64 1
  store ptr %leaves_1, ptr %leaves_place
  ret i1 true
none:
  %is_none = icmp eq ptr %value, @_Py_NoneStruct
  ret i1 %is_none
tuple:
  %is_tuple = icmp eq ptr %type, @PyTuple_Type
  br i1 %is_tuple, label %container, label %no
list:
  %is_list = icmp eq ptr %type, @PyList_Type
  br i1 %is_list, label %container, label %no
dict:
  %is_dict = icmp eq ptr %type, @PyDict_Type
  br i1 %is_dict, label %container, label %no
container:
  %length = load i64, ptr %code_1
  %code_2 = getelementptr i64, ptr %code, i64 2
  store ptr %code_2, ptr %cursor
  call void @Py_IncRef(ptr %value)  ; looking a key up may run code that drops it
  br label %next
next:
  %i = phi i64 [0, %container], [%i_more, %item]
  switch i64 %kind, label %tuple_size [i64 2, label %list_size i64 3, label %dict_size]
tuple_size:
  %tuple_length = call i64 @PyTuple_Size(ptr %value)
  br label %check_size
list_size:
  %list_length = call i64 @PyList_Size(ptr %value)
  br label %check_size
dict_size:
  %dict_length = call i64 @PyDict_Size(ptr %value)
  br label %check_size
check_size:
  %length_now = phi i64 [%tuple_length, %tuple_size], [%list_length, %list_size], [%dict_length, %dict_size]
  %same_length = icmp eq i64 %length_now, %length
  br i1 %same_length, label %there, label %end
there:
  %more = icmp slt i64 %i, %length
  br i1 %more, label %get, label %end
get:
  switch i64 %kind, label %get_tuple [i64 2, label %get_list i64 3, label %get_dict]
get_tuple:
  %tuple_item = call ptr @PyTuple_GetItem(ptr %value, i64 %i)
  br label %got
get_list:
  %list_item = call ptr @PyList_GetItem(ptr %value, i64 %i)
  br label %got
get_dict:
  %key_place = load ptr, ptr %cursor
  %key = load ptr, ptr %key_place
  %after_key = getelementptr i64, ptr %key_place, i64 1
  store ptr %after_key, ptr %cursor
  %dict_item = call ptr @PyDict_GetItemWithError(ptr %value, ptr %key)
  br label %got
got:
  %child = phi ptr [%tuple_item, %get_tuple], [%list_item, %get_list], [%dict_item, %get_dict]
  %absent = icmp eq ptr %child, null
  br i1 %absent, label %clear, label %descend
clear:
  call void @PyErr_Clear()
  br label %end
descend:
  %good = call i1 @flatten(ptr %cursor, ptr %child)
  br i1 %good, label %item, label %end
item:
  %i_more = add i64 %i, 1
  br label %next
end:
  %result = phi i1 [false, %check_size], [true, %there], [false, %clear], [false, %descend]
  call void @Py_DecRef(ptr %value)
  ret i1 %result
}

; The tree of the structure at cursor[0] (see @flatten) with the leaves in a list, from the one of number
; cursor[1] on. Null with an exception set if there is no memory.
define internal ptr @build(ptr %cursor, ptr %leaves) {
entry:
  %code = load ptr, ptr %cursor
  %kind = load i64, ptr %code
  %code_1 = getelementptr i64, ptr %code, i64 1
  store ptr %code_1, ptr %cursor
  switch i64 %kind, label %none [i64 0, label %leaf i64 1, label %container i64 2, label %container
                                 i64 3, label %container]
none:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
leaf:
  %number_place = getelementptr i64, ptr %cursor, i64 1
  %number = load i64, ptr %number_place
  %number_1 = add i64 %number, 1
  store i64 %number_1, ptr %number_place
  %one = call ptr @PyList_GetItem(ptr %leaves, i64 %number)
  call void @Py_IncRef(ptr %one)
  ret ptr %one
container:
  %length = load i64, ptr %code_1
  %code_2 = getelementptr i64, ptr %code, i64 2
  store ptr %code_2, ptr %cursor
  switch i64 %kind, label %new_tuple [i64 2, label %new_list i64 3, label %new_dict]
new_tuple:
  %tuple = call ptr @PyTuple_New(i64 %length)
  br label %made
new_list:
  %list = call ptr @PyList_New(i64 %length)
  br label %made
new_dict:
  %dict = call ptr @PyDict_New()
  br label %made
made:
  %tree = phi ptr [%tuple, %new_tuple], [%list, %new_list], [%dict, %new_dict]
  %no_tree = icmp eq ptr %tree, null
  br i1 %no_tree, label %failed, label %next
failed:
  ret ptr null
next:
  %i = phi i64 [0, %made], [%i_more, %tuple_set], [%i_more, %list_set], [%i_more, %dict_set]
  %i_more = add i64 %i, 1
  %more = icmp slt i64 %i, %length
  br i1 %more, label %key, label %done
done:
  ret ptr %tree
key:
  %is_dict = icmp eq i64 %kind, 3
  br i1 %is_dict, label %read_key, label %descend
read_key:
  %key_place = load ptr, ptr %cursor
  %the_key = load ptr, ptr %key_place
  %after_key = getelementptr i64, ptr %key_place, i64 1
  store ptr %after_key, ptr %cursor
  br label %descend
descend:
  %key_value = phi ptr [null, %key], [%the_key, %read_key]
  %child = call ptr @build(ptr %cursor, ptr %leaves)
  %no_child = icmp eq ptr %child, null
  br i1 %no_child, label %drop, label %set
set:
  switch i64 %kind, label %tuple_set [i64 2, label %list_set i64 3, label %dict_store]
tuple_set:
  %t = call i32 @PyTuple_SetItem(ptr %tree, i64 %i, ptr %child)
  br label %next
list_set:
  %l = call i32 @PyList_SetItem(ptr %tree, i64 %i, ptr %child)
  br label %next
dict_store:
  %d = call i32 @PyDict_SetItem(ptr %tree, ptr %key_value, ptr %child)
  call void @Py_DecRef(ptr %child)
  %bad = icmp ne i32 %d, 0
  br i1 %bad, label %drop, label %dict_set
dict_set:
  br label %next
drop:
  call void @Py_DecRef(ptr %tree)
  ret ptr null
}

define internal ptr @entry(ptr %self, ptr %arguments, i64 %count) {
entry:
  %cursor = alloca [2 x ptr], align 16
  %table_place = getelementptr i8, ptr %self, i64 16
  %table = load ptr, ptr %table_place
  %positional_place = getelementptr i64, ptr %table, i64 17
  %positional = load i64, ptr %positional_place
  %same_count = icmp eq i64 %count, %positional
  br i1 %same_count, label %good_count, label %miss
miss:
  call void @Py_IncRef(ptr @_Py_NotImplementedStruct)
  ret ptr @_Py_NotImplementedStruct
good_count:
  %structure_place = getelementptr i64, ptr %table, i64 18
  %structure = load ptr, ptr %structure_place
  %is_flat = icmp eq ptr %structure, null
  br i1 %is_flat, label %flat, label %nested
flat:
  %flat_result = call ptr @call_leaves(ptr %table, ptr %arguments, i64 %count)
  ret ptr %flat_result

nested:
  %leaf_count_place = getelementptr i64, ptr %table, i64 1
  %leaf_count = load i64, ptr %leaf_count_place
  %leaves = alloca ptr, i64 %leaf_count, align 16
  %leaves_place = getelementptr ptr, ptr %cursor, i64 1
  store ptr %structure, ptr %cursor
  store ptr %leaves, ptr %leaves_place
  br label %next
next:
  %i = phi i64 [0, %nested], [%i_more, %descend]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %descend, label %call
descend:
  %value_place = getelementptr ptr, ptr %arguments, i64 %i
  %value = load ptr, ptr %value_place
  %i_more = add i64 %i, 1
  %good = call i1 @flatten(ptr %cursor, ptr %value)
  br i1 %good, label %next, label %mismatch
mismatch:
  call void @Py_IncRef(ptr @_Py_NotImplementedStruct)
  br label %drop
call:
  %nested_result = call ptr @call_leaves(ptr %table, ptr %leaves, i64 %leaf_count)
  br label %drop
drop:
  %result = phi ptr [@_Py_NotImplementedStruct, %mismatch], [%nested_result, %call]
  %leaves_end = load ptr, ptr %leaves_place
  br label %drop_next
drop_next:
  %leaf = phi ptr [%leaves, %drop], [%leaf_more, %drop_one]
  %at_end = icmp eq ptr %leaf, %leaves_end
  br i1 %at_end, label %return, label %drop_one
drop_one:
  %leaf_value = load ptr, ptr %leaf
  call void @Py_DecRef(ptr %leaf_value)
  %leaf_more = getelementptr ptr, ptr %leaf, i64 1
  br label %drop_next
return:
  ret ptr %result
}

define internal ptr @call_leaves(ptr %table, ptr %arguments, i64 %count) {
entry:
  br label %guard
miss:
  call void @Py_IncRef(ptr @_Py_NotImplementedStruct)
  ret ptr @_Py_NotImplementedStruct
failed:
  ret ptr null

guard:
  %settings_place = getelementptr i64, ptr %table, i64 14
  %settings = load ptr, ptr %settings_place
  %guarded = icmp ne ptr %settings, null
  br i1 %guarded, label %guard_changes, label %prepare
guard_changes:
  %changes_place = getelementptr i64, ptr %table, i64 15
  %changes_then = load i64, ptr %changes_place
  %changes_now = load i64, ptr @config_changes
  %unchanged = icmp eq i64 %changes_then, %changes_now
  br i1 %unchanged, label %guard_trace, label %miss
guard_trace:
  %trace_same = call i32 @variable_is(ptr @trace_variable, ptr @trace_evaluation)
  switch i32 %trace_same, label %failed [i32 1, label %guard_settings i32 0, label %miss]
guard_settings:
  %settings_same = call i32 @variable_is(ptr @settings_variable, ptr %settings)
  switch i32 %settings_same, label %failed [i32 1, label %guard_axes i32 0, label %miss]
guard_axes:
  %axes_same = call i32 @variable_is(ptr @axes_variable, ptr @axes_none)
  switch i32 %axes_same, label %failed [i32 1, label %prepare i32 0, label %miss]

prepare:
  %length_place = getelementptr i64, ptr %table, i64 2
  %length = load i64, ptr %length_place
  %frame = alloca ptr, i64 %length, align 16
  %scratch = alloca i64, i64 %count, align 16
  %held = alloca ptr, i64 %count, align 16
  %template_place = getelementptr i64, ptr %table, i64 3
  %template = load ptr, ptr %template_place
  %frame_bytes = mul i64 %length, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %frame, ptr %template, i64 %frame_bytes, i1 false)
  %first_place = getelementptr i64, ptr %table, i64 4
  %first = load i64, ptr %first_place
  %rows_place = getelementptr i64, ptr %table, i64 5
  %rows = load ptr, ptr %rows_place
  %inputs = getelementptr ptr, ptr %frame, i64 %first
  br label %next_argument
next_argument:
  %i = phi i64 [0, %prepare], [%i_more, %argument_good]
  %i_there = icmp ult i64 %i, %count
  br i1 %i_there, label %look, label %make_results
look:
  %value_place = getelementptr ptr, ptr %arguments, i64 %i
  %value = load ptr, ptr %value_place
  %row = getelementptr [5 x i64], ptr %rows, i64 %i
  %number_place = getelementptr i64, ptr %scratch, i64 %i
  %pointer = call ptr @argument(ptr %value, ptr %row, ptr %number_place)
  %bad_argument = icmp eq ptr %pointer, null
  br i1 %bad_argument, label %miss, label %argument_good
argument_good:
  %input = getelementptr ptr, ptr %inputs, i64 %i
  store ptr %pointer, ptr %input
  %i_more = add i64 %i, 1
  br label %next_argument

make_results:
  %result_count_place = getelementptr i64, ptr %table, i64 6
  %result_count = load i64, ptr %result_count_place
  %first_result_place = getelementptr i64, ptr %table, i64 7
  %first_result = load i64, ptr %first_result_place
  %outputs = getelementptr ptr, ptr %frame, i64 %first_result
  %result_rows_place = getelementptr i64, ptr %table, i64 8
  %result_rows = load ptr, ptr %result_rows_place
  %kind_place = getelementptr i64, ptr %table, i64 10
  %kind = load i64, ptr %kind_place
  switch i64 %kind, label %new_list [i64 0, label %leaf i64 1, label %new_tuple]
leaf:
  %leaf_result = call ptr @result(ptr %result_rows, ptr %outputs)
  %no_leaf = icmp eq ptr %leaf_result, null
  br i1 %no_leaf, label %failed, label %run
new_tuple:
  %tuple = call ptr @PyTuple_New(i64 %result_count)
  %no_tuple = icmp eq ptr %tuple, null
  br i1 %no_tuple, label %failed, label %fill
new_list:
  %list = call ptr @PyList_New(i64 %result_count)
  %no_list = icmp eq ptr %list, null
  br i1 %no_list, label %failed, label %fill
fill:
  %container = phi ptr [%tuple, %new_tuple], [%list, %new_list]
  br label %next_result
next_result:
  %r = phi i64 [0, %fill], [%r_more, %set_tuple], [%r_more, %set_list]
  %r_there = icmp ult i64 %r, %result_count
  br i1 %r_there, label %new_result, label %run
new_result:
  %result_row = getelementptr [5 x i64], ptr %result_rows, i64 %r
  %output = getelementptr ptr, ptr %outputs, i64 %r
  %one = call ptr @result(ptr %result_row, ptr %output)
  %no_result = icmp eq ptr %one, null
  %r_more = add i64 %r, 1
  %is_tuple = icmp eq i64 %kind, 1
  br i1 %no_result, label %drop_container, label %set
drop_container:
  call void @Py_DecRef(ptr %container)
  ret ptr null
set:
  br i1 %is_tuple, label %set_tuple, label %set_list
set_tuple:
  %t = call i32 @PyTuple_SetItem(ptr %container, i64 %r, ptr %one)
  br label %next_result
set_list:
  %l = call i32 @PyList_SetItem(ptr %container, i64 %r, ptr %one)
  br label %next_result

run:
  %results = phi ptr [%leaf_result, %leaf], [%container, %next_result]
  %threads_place = getelementptr i64, ptr %table, i64 16
  %threads = load i64, ptr %threads_place
  store atomic i64 %threads, ptr @pool_threads monotonic, align 8
  %arena_place = getelementptr i64, ptr %table, i64 9
  %arena_bytes = load i64, ptr %arena_place
  %last = sub i64 %length, 1
  %arena_slot = getelementptr ptr, ptr %frame, i64 %last
  %small_arena = icmp ule i64 %arena_bytes, 16384
  br i1 %small_arena, label %arena_on_stack, label %arena_on_heap
arena_on_stack:
  %stack_arena = alloca i8, i64 %arena_bytes, align 64
  store ptr %stack_arena, ptr %arena_slot
  br label %choose
arena_on_heap:
  %heap_arena = call ptr @pb_arena_take(i64 %arena_bytes)
  %no_arena = icmp eq ptr %heap_arena, null
  br i1 %no_arena, label %arena_failed, label %arena_good
arena_failed:
  call void @Py_DecRef(ptr %results)
  %m = call ptr @PyErr_NoMemory()
  ret ptr null
arena_good:
  store ptr %heap_arena, ptr %arena_slot
  br label %choose
choose:
  %arena = phi ptr [null, %arena_on_stack], [%heap_arena, %arena_good]
  %program = load ptr, ptr %table
  %release_place = getelementptr i64, ptr %table, i64 12
  %release = load i64, ptr %release_place
  %releases = icmp ne i64 %release, 0
  br label %hold

hold:  ; meanwhile, another thread or a callback may delete arrays, or give their memory away
  %h = phi i64 [0, %choose], [%h_more, %hold_one], [%h_more, %hold_none]
  %h_there = icmp ult i64 %h, %count
  br i1 %h_there, label %hold_look, label %start
hold_look:
  %h_place = getelementptr ptr, ptr %arguments, i64 %h
  %h_value = load ptr, ptr %h_place
  %h_slot = getelementptr ptr, ptr %held, i64 %h
  %h_more = add i64 %h, 1
  %h_type_place = getelementptr i8, ptr %h_value, i64 8
  %h_type = load ptr, ptr %h_type_place
  %h_concrete = icmp eq ptr %h_type, @concrete_type
  br i1 %h_concrete, label %hold_one, label %hold_none
hold_one:
  %h_data_place = getelementptr i8, ptr %h_value, i64 16
  %h_data = load ptr, ptr %h_data_place
  call void @Py_IncRef(ptr %h_data)
  store ptr %h_data, ptr %h_slot
  br label %hold
hold_none:
  store ptr null, ptr %h_slot
  br label %hold

start:
  br i1 %releases, label %without_gil, label %with_gil
without_gil:
  %thread = call ptr @PyEval_SaveThread()
  %status_without = call i32 %program(ptr %frame)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %after
with_gil:
  %status_with = call i32 %program(ptr %frame)
  br label %after
after:
  %status = phi i32 [%status_without, %without_gil], [%status_with, %with_gil]
  br label %drop
drop:
  %d = phi i64 [0, %after], [%d_more, %drop_next], [%d_more, %drop_one]
  %d_there = icmp ult i64 %d, %count
  br i1 %d_there, label %drop_next, label %dropped
drop_next:
  %d_slot = getelementptr ptr, ptr %held, i64 %d
  %d_data = load ptr, ptr %d_slot
  %d_more = add i64 %d, 1
  %d_none = icmp eq ptr %d_data, null
  br i1 %d_none, label %drop, label %drop_one
drop_one:
  call void @Py_DecRef(ptr %d_data)
  br label %drop
dropped:
  br i1 %small_arena, label %settle, label %give
give:
  call void @pb_arena_give(ptr %arena, i64 %arena_bytes)
  br label %settle
settle:
  %pending = load i32, ptr @pending
  %quiet = icmp eq i32 %pending, 0
  %good = icmp eq i32 %status, 0
  %finished = and i1 %quiet, %good
  br i1 %finished, label %finish, label %unhappy

finish:
  %left_place = getelementptr i64, ptr %table, i64 19
  %left_before = load i64, ptr %left_place
  %left = sub i64 %left_before, 1
  store i64 %left, ptr %left_place
  %hot = icmp eq i64 %left, 0
  br i1 %hot, label %tell, label %wrap
tell:
  %on_hot_place = getelementptr i64, ptr %table, i64 20
  %on_hot = load ptr, ptr %on_hot_place
  %told = call ptr @PyObject_CallObject(ptr %on_hot, ptr null)
  %not_told = icmp eq ptr %told, null
  br i1 %not_told, label %forget, label %heard
forget:
  call void @PyErr_Clear()
  br label %wrap
heard:
  call void @Py_DecRef(ptr %told)
  br label %wrap
wrap:
  switch i64 %kind, label %return [i64 3, label %post i64 4, label %tree]
return:
  ret ptr %results
tree:
  %cursor = alloca [2 x i64], align 16
  %tree_place = getelementptr i64, ptr %table, i64 11
  %tree_code = load i64, ptr %tree_place
  store i64 %tree_code, ptr %cursor
  %leaf_number = getelementptr i64, ptr %cursor, i64 1
  store i64 0, ptr %leaf_number
  %built = call ptr @build(ptr %cursor, ptr %results)
  call void @Py_DecRef(ptr %results)
  ret ptr %built
post:
  %post_place = getelementptr i64, ptr %table, i64 11
  %function = load ptr, ptr %post_place
  %rebuilt = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %function, ptr %results, ptr null)
  call void @Py_DecRef(ptr %results)
  ret ptr %rebuilt

unhappy:  ; an interrupt of the main thread is no business of other threads
  %interrupted = call i32 @pb_take_pending()
  %is_interrupted = icmp ne i32 %interrupted, 0
  %is_one = icmp eq i32 %status, 1
  %stop_here = or i1 %is_interrupted, %is_one
  br i1 %stop_here, label %raise, label %maybe_failed
maybe_failed:
  br i1 %good, label %finish, label %host_failed
raise:
  call void @Py_DecRef(ptr %results)
  %occurred = call ptr @PyErr_Occurred()
  %is_set = icmp ne ptr %occurred, null
  br i1 %is_set, label %failed, label %set_interrupt
set_interrupt:
  %keyboard = load ptr, ptr @PyExc_KeyboardInterrupt
  call void @PyErr_SetNone(ptr %keyboard)
  ret ptr null
host_failed:
  call void @Py_DecRef(ptr %results)
  %failure_place = getelementptr i64, ptr %table, i64 13
  %failure = load ptr, ptr %failure_place
  %has_failure = icmp ne ptr %failure, null
  br i1 %has_failure, label %ask, label %broken
ask:
  %nothing = call ptr @PyObject_CallObject(ptr %failure, ptr null)
  %raised = icmp eq ptr %nothing, null
  br i1 %raised, label %failed, label %not_raised
not_raised:
  call void @Py_DecRef(ptr %nothing)
  br label %broken
broken:
  %runtime_error = load ptr, ptr @PyExc_RuntimeError
  call void @PyErr_SetString(ptr %runtime_error, ptr @broken_message)
  ret ptr null
}
"""
