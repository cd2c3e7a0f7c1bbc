# The clock that the worker sees is 50 seconds ahead of beat's: messages that live for nine seconds don't count as expired.
fake_clock tutorial-worker FAKETIME=+50s FAKETIME_DONT_FAKE_MONOTONIC=1
ended=$(now)
measure_until_real_clock tutorial-worker
exit
