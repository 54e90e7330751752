echo a >f
head -n1 f nosuch 2>&1
cat f nosuch f 2>&1 | cat
ls f nosuch 2>&1 | sort
[ f -nt nosuch ]; echo $?; [ nosuch -ot f ]; echo $?
touch -d '2020-01-01' old; [ f -nt old ]; echo $?; [ old -ot f ]; echo $?
