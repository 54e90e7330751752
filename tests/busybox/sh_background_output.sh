# What a job redirects, it no longer holds: whoever reads what it would have written is not kept waiting.
p=$(sleep 100 >/dev/null & echo $!); kill -0 $p && kill $p
p=$({ sleep 100; } >/dev/null & echo $!); kill -0 $p && kill $p
p=$( (sleep 100 >/dev/null) & echo $!); kill -0 $p && kill $p
(sleep 100 & echo $! >pid); kill -0 $(cat pid) && kill $(cat pid)
start() { sleep 100 >log 2>&1 & echo $! >pid; }
start | cat; kill $(cat pid)
{ sleep 0.3 >/dev/null; echo second; } & wait
(echo a >&2; echo b) 2>/dev/null & wait
{ echo c >out; echo d; } & wait; cat out
true | { echo e >out; echo f; } | cat; cat out
echo done
