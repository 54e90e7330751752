printf 'b 2\na 10\nc 1\na 9\n' > f
sort f; echo; sort -r f; echo; sort -k2 f; echo; sort -k2n f; echo; sort -k1,1 -k2nr f
printf '10\n9\n2\n' | sort; printf '10\n9\n2\n' | sort -n
printf 'b\na\nb\n' | sort -u
printf 'x:3\ny:1\n' | sort -t: -k2
printf 'B\na\nC\n' | sort -f
sort -c f; echo $?
printf '3\n1\n' | sort -o out; cat out
