"""Interrupts: Ctrl-C ends a long native loop.

`pb_poll()` is called from the back edges of long loops and returns nonzero when the program has to stop. It
reads the cycle counter and does more only if about 50 ms have passed since it last did: on Python's main
thread it takes the GIL and lets Python run its signal handlers, which may raise KeyboardInterrupt. Other
threads of Python are never interrupted; workers of the pool stop when the thread that they work for does.
"""

from __future__ import annotations

POLL_IR = """
@poll_next = internal global i64 0    ; the time of the next real check
@pending = internal global i32 0      ; the main thread has an exception to raise
@main_thread = internal global i64 0

declare i32 @PyGILState_Ensure()
declare void @PyGILState_Release(i32)
declare i32 @PyErr_CheckSignals()

; To be called once, on Python's main thread or with its identity.
define void @pb_set_main_thread(i64 %id) {
  store i64 %id, ptr @main_thread
  ret void
}

; Whether the calling thread is the main one and has an exception to raise; asking clears it.
define i32 @pb_take_pending() {
entry:
  %pending = load i32, ptr @pending
  %some = icmp ne i32 %pending, 0
  br i1 %some, label %ask, label %no
ask:
  %self = call i64 @pthread_self()
  %main = load i64, ptr @main_thread
  %is_main = icmp eq i64 %self, %main
  br i1 %is_main, label %yes, label %no
yes:
  store i32 0, ptr @pending
  ret i32 1
no:
  ret i32 0
}

define i32 @pb_poll() {
entry:
  %now = call i64 @ticks()
  %next = load atomic i64, ptr @poll_next monotonic, align 8
  %early = icmp ult i64 %now, %next
  br i1 %early, label %go_on, label %check
go_on:
  ret i32 0
check:
  %self = call i64 @pthread_self()
  %main = load i64, ptr @main_thread
  %is_main = icmp eq i64 %self, %main
  br i1 %is_main, label %signals, label %other
signals:
  %already = load i32, ptr @pending
  %is_pending = icmp ne i32 %already, 0
  br i1 %is_pending, label %halt, label %ask
ask:
  %then = add i64 %now, $POLL_TICKS
  store atomic i64 %then, ptr @poll_next monotonic, align 8
  %gil = call i32 @PyGILState_Ensure()
  %raised = call i32 @PyErr_CheckSignals()
  call void @PyGILState_Release(i32 %gil)
  %is_raised = icmp ne i32 %raised, 0
  br i1 %is_raised, label %interrupt, label %go_on
interrupt:
  store i32 1, ptr @pending
  store atomic i64 0, ptr @poll_next monotonic, align 8  ; all who poll look at once
  ; Workers are told to stop if the pool works for this thread.
  %owner = load atomic i64, ptr @job_owner monotonic, align 8
  %mine = icmp eq i64 %owner, %self
  br i1 %mine, label %tell, label %halt
tell:
  store atomic i32 1, ptr @stop monotonic, align 4
  br label %halt
halt:
  ret i32 1
other:  ; only a worker of the pool can be stopped
  %stopped = load atomic i32, ptr @stop monotonic, align 4
  %is_stopped = icmp ne i32 %stopped, 0
  br i1 %is_stopped, label %who, label %go_on
who:
  %count = load atomic i64, ptr @pool_started acquire, align 8
  br label %next_worker
next_worker:
  %index = phi i64 [0, %who], [%index_more, %compare]
  %there = icmp ult i64 %index, %count
  br i1 %there, label %compare, label %go_on
compare:
  %place = getelementptr i64, ptr @pool_ids, i64 %index
  %id = load atomic i64, ptr %place monotonic, align 8
  %is_worker = icmp eq i64 %id, %self
  %index_more = add i64 %index, 1
  br i1 %is_worker, label %halt, label %next_worker
}
"""
