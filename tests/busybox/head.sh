seq 20 > f
head f | tail -n 1
head -n 3 f
head -3 f
head -c 5 f; echo
head -n -17 f
seq 3 > g; head -n 1 f g
head -qn 1 f g
