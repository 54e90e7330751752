seq 20 > f
tail f | head -n 1
tail -n 2 f
tail -2 f
tail -n +19 f
tail -c 5 f
tail -c +48 f
seq 3 > g; tail -n 1 f g
seq 5 | tail -n 2
printf 'no newline' | tail -n 1; echo
