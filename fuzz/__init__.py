"""Feeds every decoder with what a fuzzer makes of real traffic: no crash, no hang, no growth.

`python -m fuzz` (or `make fuzz`) runs for the time it is given; `make check` plays the kept corpus
and a fixed number of mutations after a fixed seed. The fuzzer is atheris, which has wheels for some
Pythons on Linux only; everywhere else a test still plays the corpus through the same targets.

    target, guard     what is fed, and what one input may cost
    targets/          one module for each kind of decoder: what it takes, what it may raise
    golden            real traffic, with which mutations begin
    environments      those whose sessions are fed
    messages, trees   mutations that keep the form: of protobuf's messages, of MessagePack and JSON
    loop              one target under the fuzzer, in a separate process
    corpus            what the fuzzer has found, a folder for each target, a file for each input
"""
