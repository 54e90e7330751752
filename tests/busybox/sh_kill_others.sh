sleep 100 & p=$!
(sleep 0.1; kill $p) & wait $p 2>/dev/null; echo $?
# By a program that is no shell, too.
sleep 100 & p=$!
echo $p | xargs kill; wait $p 2>/dev/null; echo $?
# One that somebody else started.
p=$(sleep 100 >/dev/null & echo $!)
kill -0 $p; echo $?; kill -9 $p; echo $?
# Itself, though its number comes by a detour.
(sleep 0.1; kill $(cat pid); echo never; sleep 100) & p=$!; echo $p >pid
wait $p 2>/dev/null; echo $?
kill -0 $$; echo $?
kill %9; echo $?
wait %9; echo $?
kill 99999999 abc 2>&1 | sed 's/^[^:]*: //'
