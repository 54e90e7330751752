seq 10 > f
grep -A 1 5 f; grep -B 1 5 f; grep -C 1 5 f
grep -n -A1 '[37]' f
seq 20 | grep -A1 -B1 -E '^(5|15)$'
