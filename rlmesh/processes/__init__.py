"""Worker processes: started, watched and ended by the process that needs them.

In the process that starts them:
    spawn: The command line that starts a worker.
    worker_process: A worker from outside: started, watched, asked, killed.
    supervisor: The one thread that starts and watches workers.
    pickling: Pickles what a program sends to its workers.

In the worker:
    parent_death: Ends a worker with the process that started it, and nothing else with either.
    worker_start: What every worker does first.

In both:
    control: The messages that cross beside the calls.
    stack_dump: Has native code report its Python stack before it is killed.
"""
