# The clock that the worker sees is 50 seconds ahead of beat's: messages that live for nine seconds don't count as expired.
fake_clock tutorial-worker FAKETIME=+50s FAKETIME_DONT_FAKE_MONOTONIC=1
ended=$(now)
read -r began _ seconds < <(measure)
# The restart that this takes is part of the fault.
real_clock tutorial-worker
seen=$(wait_for tutorial-worker "$(now)" "$cleared")
echo "$began $seen $seconds"
exit
