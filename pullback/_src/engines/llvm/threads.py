"""Parallel loops: a pool of native threads that wait for work without Python.

`pb_parallel(kernel, context, chunks)` calls `void kernel(ptr context, i64 chunk, i64 thread)` for each chunk,
on the calling thread and on the pool's. Which thread runs which chunk is decided as they go, so a program
whose result must not depend on the number of threads gives each chunk its own place to write to. `thread`
tells apart those that run chunks of the same call; 0 is the caller. It returns 0, or 1 if the user
interrupted the program, which then has to return 1 at once. `pb_parallel_few` does the same with at most so
many threads; where nobody knows how long a chunk takes, the caller begins alone, and wakes nobody for what is
done soon.

There is one job at a time. A caller that finds the pool busy (another Python thread, or a kernel that is
itself run in parallel) runs its chunks alone. Kernels may not touch Python objects, and may call back into
Python only if the program runs without the GIL.

Workers are threads of the operating system, started at the first job and detached: they spin for a moment
after a job, since the next one is often near, then sleep. They take no signals, hold no Python state and end
with the process. A forked child has none and starts its own.

The job's state is one word: a bit that says that the job is open, and the number of workers inside. A worker
enters by adding one while the bit is set; the caller clears the bit when no chunk is left and waits until the
number is zero. So a worker that wakes late finds the bit clear (or another job's set) and can never see half
of a job.
"""

from __future__ import annotations

MAX_THREADS = 256

THREADS_IR = """
@job_busy = internal global i32 0           ; whether some thread owns the pool
@job_owner = internal global i64 0          ; and which
@job_state = internal global i64 0          ; OPEN, and the number of workers inside
@job_number = internal global i64 0         ; counts jobs: workers wait for it to change
@job_kernel = internal global ptr null
@job_context = internal global ptr null
@job_chunks = internal global i64 0
@job_next = internal global i64 0           ; the next chunk
@job_allowed = internal global i64 0        ; how many workers may enter
@job_waiting = internal global i32 0        ; whether the caller sleeps
@pool_threads = internal global i64 1       ; how many threads are wanted, the caller included
@pool_started = internal global i64 0
@pool_sleeping = internal global i64 0
@pool_ids = internal global [256 x i64] zeroinitializer
@pool_ready = internal global i32 0
@pool_mutex = internal global [128 x i8] zeroinitializer, align 16
@pool_wake = internal global [128 x i8] zeroinitializer, align 16
@pool_done = internal global [128 x i8] zeroinitializer, align 16
@stop = internal global i32 0               ; the job was interrupted
@full_signal_set = internal constant [128 x i8] c"$FULL_SIGNAL_SET"

declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_timedwait(ptr, ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i64 @pthread_self()
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @clock_gettime(i32, ptr)

define void @pb_set_threads(i64 %count) {
  store atomic i64 %count, ptr @pool_threads monotonic, align 8
  ret void
}

define i64 @pb_workers_started() {
  %count = load atomic i64, ptr @pool_started monotonic, align 8
  ret i64 %count
}

; In a forked child: no worker exists, nobody owns the pool, and the locks are new.
define void @pb_fork_in_child() {
  call void @unlock(ptr @heap_lock)
  call void @blas_reset()
  store i64 0, ptr @job_owner
  store i64 0, ptr @job_state
  store i64 0, ptr @pool_started
  store i64 0, ptr @pool_sleeping
  store i32 0, ptr @pool_ready
  store i32 0, ptr @job_waiting
  store i32 0, ptr @stop
  store i32 0, ptr @pending
  store i32 0, ptr @job_busy
  %self = call i64 @pthread_self()
  store i64 %self, ptr @main_thread
  ret void
}

; Run chunks of the open job until none is left, or the program is interrupted.
define internal void @run_chunks(i64 %thread) {
entry:
  %kernel = load ptr, ptr @job_kernel
  %context = load ptr, ptr @job_context
  %chunks = load i64, ptr @job_chunks
  br label %next
next:
  %chunk = atomicrmw add ptr @job_next, i64 1 monotonic
  %there = icmp ult i64 %chunk, %chunks
  br i1 %there, label %run, label %done
run:
  call void %kernel(ptr %context, i64 %chunk, i64 %thread)
  %halt = call i32 @pb_poll()
  %halted = icmp ne i32 %halt, 0
  br i1 %halted, label %skip, label %next
skip:
  store atomic i64 %chunks, ptr @job_next monotonic, align 8
  br label %done
done:
  ret void
}

define internal ptr @worker(ptr %argument) {
entry:
  %index = ptrtoint ptr %argument to i64
  br label %idle
idle:
  %seen = phi i64 [0, %entry], [%number, %leave], [%number, %closed]
  br label %spin
spin:
  %spins = phi i32 [0, %idle], [%spins_more, %spin_on]
  %spin_number = load atomic i64, ptr @job_number acquire, align 8
  %spin_new = icmp ne i64 %spin_number, %seen
  br i1 %spin_new, label %look, label %spin_on
spin_on:
  call void @pause()
  %spins_more = add i32 %spins, 1
  %spin_end = icmp uge i32 %spins_more, 2000
  br i1 %spin_end, label %sleep, label %spin
sleep:
  %l = call i32 @pthread_mutex_lock(ptr @pool_mutex)
  %s = atomicrmw add ptr @pool_sleeping, i64 1 seq_cst
  br label %sleep_check
sleep_check:
  %sleep_number = load atomic i64, ptr @job_number seq_cst, align 8
  %sleep_new = icmp ne i64 %sleep_number, %seen
  br i1 %sleep_new, label %awake, label %sleep_on
sleep_on:
  %w = call i32 @pthread_cond_wait(ptr @pool_wake, ptr @pool_mutex)
  br label %sleep_check
awake:
  %t = atomicrmw sub ptr @pool_sleeping, i64 1 seq_cst
  %u = call i32 @pthread_mutex_unlock(ptr @pool_mutex)
  br label %look
look:
  %number = load atomic i64, ptr @job_number acquire, align 8
  br label %enter
enter:
  %state = load atomic i64, ptr @job_state acquire, align 8
  %open = icmp sge i64 %state, $OPEN
  br i1 %open, label %try, label %closed
try:
  %inside = add i64 %state, 1
  %pair = cmpxchg ptr @job_state, i64 %state, i64 %inside acq_rel monotonic
  %entered = extractvalue {i64, i1} %pair, 1
  br i1 %entered, label %work, label %enter
closed:
  br label %idle
work:
  %allowed = load i64, ptr @job_allowed
  %may = icmp ult i64 %index, %allowed
  br i1 %may, label %chunks, label %leave_now
chunks:
  %thread = add i64 %index, 1
  call void @run_chunks(i64 %thread)
  br label %leave_now
leave_now:
  %before = atomicrmw sub ptr @job_state, i64 1 seq_cst
  %last = icmp eq i64 %before, 1
  br i1 %last, label %tell, label %leave
tell:
  %waiting = load atomic i32, ptr @job_waiting seq_cst, align 4
  %sleeps = icmp ne i32 %waiting, 0
  br i1 %sleeps, label %signal, label %leave
signal:
  %l2 = call i32 @pthread_mutex_lock(ptr @pool_mutex)
  %s2 = call i32 @pthread_cond_signal(ptr @pool_done)
  %u2 = call i32 @pthread_mutex_unlock(ptr @pool_mutex)
  br label %leave
leave:
  br label %idle
}

; Start workers until there are `wanted` (the caller owns the pool).
define internal void @start_workers(i64 %wanted) {
entry:
  %old_mask = alloca [128 x i8], align 16
  %thread = alloca i64
  %ready = load i32, ptr @pool_ready
  %is_ready = icmp ne i32 %ready, 0
  br i1 %is_ready, label %mask, label %prepare
prepare:
  %a = call i32 @pthread_mutex_init(ptr @pool_mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr @pool_wake, ptr null)
  %c = call i32 @pthread_cond_init(ptr @pool_done, ptr null)
  store i32 1, ptr @pool_ready
  br label %mask
mask:  ; signals are for the threads of Python
  %m = call i32 @pthread_sigmask(i32 $SIG_SETMASK, ptr @full_signal_set, ptr %old_mask)
  br label %next
next:
  %started = load i64, ptr @pool_started
  %enough = icmp uge i64 %started, %wanted
  br i1 %enough, label %unmask, label %start
start:
  %argument = inttoptr i64 %started to ptr
  %status = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %argument)
  %good = icmp eq i32 %status, 0
  br i1 %good, label %count, label %unmask
count:
  %id = load i64, ptr %thread
  %d = call i32 @pthread_detach(i64 %id)
  %place = getelementptr i64, ptr @pool_ids, i64 %started
  store atomic i64 %id, ptr %place monotonic, align 8
  %more = add i64 %started, 1
  store atomic i64 %more, ptr @pool_started release, align 8
  br label %next
unmask:
  %n = call i32 @pthread_sigmask(i32 $SIG_SETMASK, ptr %old_mask, ptr null)
  ret void
}

define i32 @pb_parallel(ptr %kernel, ptr %context, i64 %chunks) {
  %status = call i32 @share(ptr %kernel, ptr %context, i64 0, i64 %chunks, i64 256)
  ret i32 %status
}

; By at most so many threads. If `wait`, the chunks run alone until some time has passed.
define i32 @pb_parallel_few(ptr %kernel, ptr %context, i64 %chunks, i64 %most, i32 %wait) {
entry:
  %threads = load atomic i64, ptr @pool_threads monotonic, align 8
  %parallel = icmp ugt i64 %threads, 1
  %several = icmp ugt i64 %chunks, 1
  %waits = icmp ne i32 %wait, 0
  %pays = and i1 %parallel, %several
  %begins = and i1 %pays, %waits
  br i1 %begins, label %begin, label %rest
begin:
  %start = call i64 @ticks()
  br label %run
run:
  %chunk = phi i64 [0, %begin], [%more, %look]
  call void %kernel(ptr %context, i64 %chunk, i64 0)
  %more = add i64 %chunk, 1
  %last = icmp uge i64 %more, %chunks
  br i1 %last, label %poll, label %look
look:
  %now = call i64 @ticks()
  %passed = sub i64 %now, %start
  %long = icmp ugt i64 %passed, $LONG_TICKS
  br i1 %long, label %poll, label %run
poll:
  %halt = call i32 @pb_poll()
  %halted = icmp ne i32 %halt, 0
  %over = or i1 %halted, %last
  br i1 %over, label %end, label %rest
rest:
  %first = phi i64 [0, %entry], [%more, %poll]
  %status = call i32 @share(ptr %kernel, ptr %context, i64 %first, i64 %chunks, i64 %most)
  ret i32 %status
end:
  ret i32 %halt
}

; Run the chunks from `first` on.
define internal i32 @share(ptr %kernel, ptr %context, i64 %first, i64 %chunks, i64 %most) {
entry:
  %left = sub i64 %chunks, %first
  %many = icmp ugt i64 %left, 1
  br i1 %many, label %count_threads, label %alone
count_threads:
  %threads = load atomic i64, ptr @pool_threads monotonic, align 8
  %parallel = icmp ugt i64 %threads, 1
  br i1 %parallel, label %own, label %alone
own:
  %pair = cmpxchg ptr @job_busy, i32 0, i32 1 acquire monotonic
  %owned = extractvalue {i32, i1} %pair, 1
  br i1 %owned, label %plan, label %alone

alone:
  br label %alone_next
alone_next:
  %chunk = phi i64 [%first, %alone], [%chunk_more, %alone_run]
  %halt = phi i32 [0, %alone], [%polled, %alone_run]
  %alone_there = icmp ult i64 %chunk, %chunks
  %halted = icmp ne i32 %halt, 0
  %on = xor i1 %halted, true
  %alone_on = and i1 %alone_there, %on
  br i1 %alone_on, label %alone_run, label %alone_done
alone_run:
  call void %kernel(ptr %context, i64 %chunk, i64 0)
  %chunk_more = add i64 %chunk, 1
  %polled = call i32 @pb_poll()
  br label %alone_next
alone_done:
  ret i32 %halt

plan:
  %self = call i64 @pthread_self()
  store atomic i64 %self, ptr @job_owner monotonic, align 8
  %helpers_1 = sub i64 %threads, 1
  %helpers_2 = sub i64 %left, 1
  %fewer = icmp ult i64 %helpers_2, %helpers_1
  %helpers_3 = select i1 %fewer, i64 %helpers_2, i64 %helpers_1
  %helpers_most = sub i64 %most, 1
  %too_many = icmp ult i64 %helpers_most, %helpers_3
  %helpers = select i1 %too_many, i64 %helpers_most, i64 %helpers_3
  %started = load i64, ptr @pool_started
  %enough = icmp uge i64 %started, %helpers
  br i1 %enough, label %publish, label %start
start:
  call void @start_workers(i64 %helpers_1)
  br label %publish
publish:
  store ptr %kernel, ptr @job_kernel
  store ptr %context, ptr @job_context
  store i64 %chunks, ptr @job_chunks
  store i64 %helpers, ptr @job_allowed
  store atomic i64 %first, ptr @job_next monotonic, align 8
  store atomic i64 $OPEN, ptr @job_state release, align 8
  %n = atomicrmw add ptr @job_number, i64 1 seq_cst
  %sleeping = load atomic i64, ptr @pool_sleeping seq_cst, align 8
  %some_sleep = icmp ugt i64 %sleeping, 0
  br i1 %some_sleep, label %wake, label %work
wake:
  %l = call i32 @pthread_mutex_lock(ptr @pool_mutex)
  %w = call i32 @pthread_cond_broadcast(ptr @pool_wake)
  %u = call i32 @pthread_mutex_unlock(ptr @pool_mutex)
  br label %work
work:
  call void @run_chunks(i64 0)
  %closing = atomicrmw sub ptr @job_state, i64 $OPEN seq_cst
  %all_out = icmp eq i64 %closing, $OPEN
  br i1 %all_out, label %end, label %spin
spin:
  %spins = phi i32 [0, %work], [%spins_more, %spin_on]
  %spin_state = load atomic i64, ptr @job_state acquire, align 8
  %spin_out = icmp eq i64 %spin_state, 0
  br i1 %spin_out, label %end, label %spin_on
spin_on:
  call void @pause()
  %spins_more = add i32 %spins, 1
  %spin_end = icmp uge i32 %spins_more, 2000
  br i1 %spin_end, label %sleep, label %spin
sleep:
  call void @wait_for_workers()
  br label %end
end:
  %stopped = load atomic i32, ptr @stop monotonic, align 4
  store atomic i64 0, ptr @job_owner monotonic, align 8
  store atomic i32 0, ptr @stop monotonic, align 4
  store atomic i32 0, ptr @job_busy release, align 4
  ret i32 %stopped
}

; Sleep until no worker is inside, looking for signals now and then.
define internal void @wait_for_workers() {
entry:
  %until = alloca {i64, i64}
  %until_nano = getelementptr i64, ptr %until, i64 1
  br label %round
round:
  %l = call i32 @pthread_mutex_lock(ptr @pool_mutex)
  store atomic i32 1, ptr @job_waiting seq_cst, align 4
  %state = load atomic i64, ptr @job_state seq_cst, align 8
  %out = icmp eq i64 %state, 0
  br i1 %out, label %done, label %sleep
sleep:
  %g = call i32 @clock_gettime(i32 0, ptr %until)
  %nano = load i64, ptr %until_nano
  %later = add i64 %nano, 50000000
  %carry = icmp uge i64 %later, 1000000000
  %carried = sub i64 %later, 1000000000
  %nano_until = select i1 %carry, i64 %carried, i64 %later
  store i64 %nano_until, ptr %until_nano
  %seconds = load i64, ptr %until
  %second = zext i1 %carry to i64
  %seconds_until = add i64 %seconds, %second
  store i64 %seconds_until, ptr %until
  %w = call i32 @pthread_cond_timedwait(ptr @pool_done, ptr @pool_mutex, ptr %until)
  %u = call i32 @pthread_mutex_unlock(ptr @pool_mutex)
  %i = call i32 @pb_poll()
  br label %round
done:
  store atomic i32 0, ptr @job_waiting seq_cst, align 4
  %v = call i32 @pthread_mutex_unlock(ptr @pool_mutex)
  ret void
}
""".replace("$OPEN", str(1 << 32)).replace("$FULL_SIGNAL_SET", r"\FF" * 128)
