# A task raises: its traceback is in the journal as errors, line by line.
app 'from chaos.tasks import raises; raises.delay()'
wait_for tutorial-worker "$began" 'RuntimeError: on purpose' >/dev/null
journalctl --quiet --unit=tutorial-worker --since="@${began%.*}" --priority=err \
    | first_match 'RuntimeError: on purpose' >/dev/null || die "The traceback has no priority"
