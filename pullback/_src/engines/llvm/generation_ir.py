"""Code generation beside Python: native threads that turn texts of modules into object code.

While Python lowers one part of a program, LLVM works on the parts before it, in a thread that never needs the
interpreter: it would have to wait for it after each call otherwise, five milliseconds at a time. A *job* is
a structure of `generation.py`. Jobs wait in a ring in the order in which they came; whoever is free takes the
next one: threads started for that, which end when nothing is left, and callers that wait for a job.

Each job has a context and a target machine of its own, so jobs share nothing in LLVM but what it locks
itself. A few target machines are kept for jobs to come, because making one takes half a millisecond. One
thread adds jobs at a time (it holds the interpreter).
"""

from __future__ import annotations

GENERATION_IR = """
@ring = internal global [256 x ptr] zeroinitializer
@ring_end = internal global i64 0           ; jobs that have come so far
@ring_begin = internal global i64 0         ; jobs that were taken so far
@generators = internal global i64 0         ; threads at work
@machines = internal global [4 x [8 x ptr]] zeroinitializer  ; that no job has, for each effort
@reloc_name = internal constant [4 x i8] c"pic\\00"
@model_name = internal constant [6 x i8] c"small\\00"
@no_name = internal constant [1 x i8] c"\\00"

declare ptr @LLVMPY_ContextCreate()
declare void @LLVMPY_ContextDispose(ptr)
declare ptr @LLVMPY_CreateTargetMachine(ptr, ptr, ptr, ptr, i32, ptr, ptr, i32, i32, ptr)
declare void @LLVMPY_DisposeTargetMachine(ptr)
declare ptr @LLVMPY_ParseAssembly(ptr, ptr, ptr)
declare void @LLVMPY_SetTarget(ptr, ptr)
declare i8 @LLVMPY_VerifyModule(ptr, ptr)
declare ptr @LLVMPY_TargetMachineEmitToMemory(ptr, ptr, i32, ptr)
declare void @LLVMPY_DisposeModule(ptr)
declare i32 @usleep(i32)

; A target machine from a row of places, or null.
define internal ptr @take_machine(ptr %row) {
entry:
  br label %look
look:
  %k = phi i64 [0, %entry], [%more, %next]
  %place = getelementptr ptr, ptr %row, i64 %k
  %machine = atomicrmw xchg ptr %place, ptr null acq_rel
  %found = icmp ne ptr %machine, null
  br i1 %found, label %done, label %next
next:
  %more = add i64 %k, 1
  %end = icmp eq i64 %more, 8
  br i1 %end, label %none, label %look
done:
  ret ptr %machine
none:
  ret ptr null
}

; Put a target machine into a free place of a row, or dispose of it.
define internal void @give_machine(ptr %row, ptr %machine) {
entry:
  br label %look
look:
  %k = phi i64 [0, %entry], [%more, %next]
  %place = getelementptr ptr, ptr %row, i64 %k
  %pair = cmpxchg ptr %place, ptr null, ptr %machine acq_rel monotonic
  %kept = extractvalue {ptr, i1} %pair, 1
  br i1 %kept, label %done, label %next
next:
  %more = add i64 %k, 1
  %end = icmp eq i64 %more, 8
  br i1 %end, label %dispose, label %look
dispose:
  call void @LLVMPY_DisposeTargetMachine(ptr %machine)
  br label %done
done:
  ret void
}

; A job: its state (0: waiting or at work, 1: done), the text, the target, triple, CPU and features, the
; effort (0 to 3); then the object code and what LLVM says about errors.
define internal void @generate(ptr %job) {
entry:
  %text_place = getelementptr i64, ptr %job, i64 1
  %target_place = getelementptr i64, ptr %job, i64 2
  %triple_place = getelementptr i64, ptr %job, i64 3
  %cpu_place = getelementptr i64, ptr %job, i64 4
  %features_place = getelementptr i64, ptr %job, i64 5
  %effort_place = getelementptr i64, ptr %job, i64 6
  %object_place = getelementptr i64, ptr %job, i64 7
  %error_place = getelementptr i64, ptr %job, i64 8
  %text = load ptr, ptr %text_place
  %triple = load ptr, ptr %triple_place
  %effort = load i64, ptr %effort_place
  %row = getelementptr [8 x ptr], ptr @machines, i64 %effort
  %old_machine = call ptr @take_machine(ptr %row)
  %has_machine = icmp ne ptr %old_machine, null
  br i1 %has_machine, label %begin, label %make
make:
  %target = load ptr, ptr %target_place
  %cpu = load ptr, ptr %cpu_place
  %features = load ptr, ptr %features_place
  %level = trunc i64 %effort to i32
  %new_machine = call ptr @LLVMPY_CreateTargetMachine(ptr %target, ptr %triple, ptr %cpu, ptr %features,
      i32 %level, ptr @reloc_name, ptr @model_name, i32 0, i32 0, ptr @no_name)
  %is_made = icmp ne ptr %new_machine, null
  br i1 %is_made, label %begin, label %end
begin:
  %machine = phi ptr [%old_machine, %entry], [%new_machine, %make]
  %context = call ptr @LLVMPY_ContextCreate()
  %module = call ptr @LLVMPY_ParseAssembly(ptr %context, ptr %text, ptr %error_place)
  %parsed = icmp ne ptr %module, null
  br i1 %parsed, label %verify, label %dispose_context
verify:
  call void @LLVMPY_SetTarget(ptr %module, ptr %triple)
  %verdict = call i8 @LLVMPY_VerifyModule(ptr %module, ptr %error_place)
  %valid = icmp eq i8 %verdict, 0
  br i1 %valid, label %emit, label %dispose
emit:
  %object = call ptr @LLVMPY_TargetMachineEmitToMemory(ptr %machine, ptr %module, i32 1, ptr %error_place)
  store ptr %object, ptr %object_place
  br label %dispose
dispose:
  call void @LLVMPY_DisposeModule(ptr %module)
  br label %dispose_context
dispose_context:
  call void @LLVMPY_ContextDispose(ptr %context)
  call void @give_machine(ptr %row, ptr %machine)
  br label %end
end:
  store atomic i64 1, ptr %job release, align 8
  ret void
}

; Take the next job and do it; whether there was one.
define internal i1 @generate_next() {
entry:
  br label %look
look:
  %begin = load atomic i64, ptr @ring_begin acquire, align 8
  %end = load atomic i64, ptr @ring_end acquire, align 8
  %there = icmp ult i64 %begin, %end
  br i1 %there, label %take, label %none
take:
  %slot = and i64 %begin, 255
  %place = getelementptr ptr, ptr @ring, i64 %slot
  %job = load atomic ptr, ptr %place monotonic, align 8
  %after = add i64 %begin, 1
  %pair = cmpxchg ptr @ring_begin, i64 %begin, i64 %after acq_rel monotonic
  %taken = extractvalue {i64, i1} %pair, 1
  br i1 %taken, label %work, label %look
work:
  call void @generate(ptr %job)
  ret i1 true
none:
  ret i1 false
}

define internal ptr @generator(ptr %argument) {
entry:
  br label %next
next:
  %some = call i1 @generate_next()
  br i1 %some, label %next, label %done
done:
  %n = atomicrmw sub ptr @generators, i64 1 seq_cst
  ret ptr null
}

; Add a job; start a thread for it if fewer than `most` are at work.
define void @pb_generate_start(ptr %job, i64 %most) {
entry:
  %thread = alloca i64
  %old_mask = alloca [128 x i8], align 16
  %end = load i64, ptr @ring_end
  %begin = load atomic i64, ptr @ring_begin acquire, align 8
  %waiting = sub i64 %end, %begin
  %full = icmp uge i64 %waiting, 256
  br i1 %full, label %alone, label %add
alone:
  call void @generate(ptr %job)
  ret void
add:
  %slot = and i64 %end, 255
  %place = getelementptr ptr, ptr @ring, i64 %slot
  store atomic ptr %job, ptr %place monotonic, align 8
  %after = add i64 %end, 1
  store atomic i64 %after, ptr @ring_end release, align 8
  %at_work = load atomic i64, ptr @generators seq_cst, align 8
  %enough = icmp uge i64 %at_work, %most
  br i1 %enough, label %done, label %start
start:
  %n = atomicrmw add ptr @generators, i64 1 seq_cst
  %m = call i32 @pthread_sigmask(i32 $SIG_SETMASK, ptr @full_signal_set, ptr %old_mask)
  %status = call i32 @pthread_create(ptr %thread, ptr null, ptr @generator, ptr null)
  %u = call i32 @pthread_sigmask(i32 $SIG_SETMASK, ptr %old_mask, ptr null)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %detach, label %failed
detach:
  %id = load i64, ptr %thread
  %d = call i32 @pthread_detach(i64 %id)
  ret void
failed:  ; whoever waits does the work
  %f = atomicrmw sub ptr @generators, i64 1 seq_cst
  ret void
done:
  ret void
}

; Return when the job is done; do what there is to do until then.
define void @pb_generate_wait(ptr %job) {
entry:
  br label %look
look:
  %state = load atomic i64, ptr %job acquire, align 8
  %ready = icmp ne i64 %state, 0
  br i1 %ready, label %done, label %help
help:
  %some = call i1 @generate_next()
  br i1 %some, label %look, label %sleep
sleep:
  %s = call i32 @usleep(i32 50)
  br label %look
done:
  ret void
}

; Return when no job waits and no thread is at work.
define void @pb_generate_finish() {
entry:
  br label %look
look:
  %some = call i1 @generate_next()
  br i1 %some, label %look, label %ask
ask:
  %at_work = load atomic i64, ptr @generators seq_cst, align 8
  %idle = icmp eq i64 %at_work, 0
  br i1 %idle, label %done, label %sleep
sleep:
  %s = call i32 @usleep(i32 50)
  br label %look
done:
  ret void
}
"""
