echo a | cat | tr a b
printf '3\n1\n2\n' | sort | head -n 2
true | false; echo $?
false | true; echo $?
! true; echo $?
