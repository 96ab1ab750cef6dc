"""The native function under all entries (see `entry.py`), as LLVM IR.

Places in tables are those of `entry.py`.
"""

from __future__ import annotations

ENTRY_IR = """
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
  %i = phi i64 [0, %prepare], [%i_more, %hold], [%i_more, %hold_none]
  %i_there = icmp ult i64 %i, %count
  br i1 %i_there, label %look, label %make_results
look:
  %value_place = getelementptr ptr, ptr %arguments, i64 %i
  %value = load ptr, ptr %value_place
  %row = getelementptr [5 x i64], ptr %rows, i64 %i
  %number_place = getelementptr i64, ptr %scratch, i64 %i
  %pointer = call ptr @argument(ptr %value, ptr %row, ptr %number_place)
  %bad_argument = icmp eq ptr %pointer, null
  br i1 %bad_argument, label %miss_held, label %argument_good
miss_held:
  call void @drop_held(ptr %held, i64 %i)
  br label %miss
argument_good:
  %input = getelementptr ptr, ptr %inputs, i64 %i
  store ptr %pointer, ptr %input
  %i_more = add i64 %i, 1
  ; Another thread or a callback may delete arrays, or give their memory away: a reference keeps it.
  %h_slot = getelementptr ptr, ptr %held, i64 %i
  %h_type_place = getelementptr i8, ptr %value, i64 8
  %h_type = load ptr, ptr %h_type_place
  %h_concrete = icmp eq ptr %h_type, @concrete_type
  br i1 %h_concrete, label %hold, label %hold_none
hold:
  %h_data_place = getelementptr i8, ptr %value, i64 16
  %h_data = load ptr, ptr %h_data_place
  call void @Py_IncRef(ptr %h_data)
  store ptr %h_data, ptr %h_slot
  br label %next_argument
hold_none:
  store ptr null, ptr %h_slot
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
  %leaf_result = call ptr @result(ptr %result_rows, ptr %outputs, ptr %held)
  %no_leaf = icmp eq ptr %leaf_result, null
  br i1 %no_leaf, label %failed_held, label %run
failed_held:
  call void @drop_held(ptr %held, i64 %count)
  br label %failed
new_tuple:
  %tuple = call ptr @PyTuple_New(i64 %result_count)
  %no_tuple = icmp eq ptr %tuple, null
  br i1 %no_tuple, label %failed_held, label %fill
new_list:
  %list = call ptr @PyList_New(i64 %result_count)
  %no_list = icmp eq ptr %list, null
  br i1 %no_list, label %failed_held, label %fill
fill:
  %container = phi ptr [%tuple, %new_tuple], [%list, %new_list]
  br label %next_result
next_result:
  %r = phi i64 [0, %fill], [%r_more, %set_tuple], [%r_more, %set_list]
  %output = phi ptr [%outputs, %fill], [%output_more, %set_tuple], [%output_more, %set_list]
  %r_there = icmp ult i64 %r, %result_count
  br i1 %r_there, label %new_result, label %run
new_result:
  %result_row = getelementptr [6 x i64], ptr %result_rows, i64 %r
  %one = call ptr @result(ptr %result_row, ptr %output, ptr %held)
  %source_place = getelementptr i64, ptr %result_row, i64 5
  %source = load i64, ptr %source_place
  %is_own = icmp slt i64 %source, 0  ; others have no place in the frame
  %own_step = zext i1 %is_own to i64
  %output_more = getelementptr ptr, ptr %output, i64 %own_step
  %no_result = icmp eq ptr %one, null
  %r_more = add i64 %r, 1
  %is_tuple = icmp eq i64 %kind, 1
  br i1 %no_result, label %drop_container, label %set
drop_container:
  call void @Py_DecRef(ptr %container)
  br label %failed_held
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
  br label %failed_held
arena_good:
  store ptr %heap_arena, ptr %arena_slot
  br label %choose
choose:
  %arena = phi ptr [null, %arena_on_stack], [%heap_arena, %arena_good]
  %program = load ptr, ptr %table
  %release_place = getelementptr i64, ptr %table, i64 12
  %release = load i64, ptr %release_place
  %releases = icmp ne i64 %release, 0
  %given_count_place = getelementptr i64, ptr %table, i64 21
  %given_count = load i64, ptr %given_count_place
  %gives = icmp ne i64 %given_count, 0
  br i1 %gives, label %take, label %start
take:
  %taken = call i1 @take_given(ptr %table, ptr %arguments, ptr %held)
  br i1 %taken, label %start, label %not_taken
not_taken:
  call void @Py_DecRef(ptr %results)
  call void @drop_held(ptr %held, i64 %count)
  br i1 %small_arena, label %miss, label %not_taken_arena
not_taken_arena:
  call void @pb_arena_give(ptr %arena, i64 %arena_bytes)
  br label %miss

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
  call void @drop_held(ptr %held, i64 %count)
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
