sh -c 'trap "echo got; exit 3" TERM; kill -TERM $$; sleep 1; echo no'; echo $?
{ sh -c 'kill -TERM $$; echo no'; echo $?; } 2>&1 | grep -v Terminated
trap 'echo exit $?' EXIT; (exit 2); exit 5
