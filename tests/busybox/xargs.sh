seq 3 | xargs
seq 3 | xargs -n 1 echo n
seq 3 | xargs -n 2
printf 'a b\nc\n' | xargs -I {} echo '<{}>'
printf 'a\0b c\0' | xargs -0 -n 1 echo
echo "'q u' \"d q\" e\\ s" | xargs -n 1
xargs -r echo none < /dev/null; xargs echo empty < /dev/null
seq 3 | xargs -n1 false; echo $?
echo a | xargs nosuch; echo $?
seq 3 | xargs -t echo 2>&1 | head -n 1
