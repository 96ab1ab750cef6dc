"""Containers of arguments and results, as LLVM IR: taking them apart and building them (see `entry.py`)."""

from __future__ import annotations

TREES_IR = """
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
"""
