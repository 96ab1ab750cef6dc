"""What the runtime's module uses of Python and of Pullback's objects."""

from __future__ import annotations

PYTHON_IR = """
@concrete_type = external global i8       ; ConcreteArray
@deleted_type = external global i8        ; DeletedArray
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
"""
