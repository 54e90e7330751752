# component only
[[ abc =~ ^a.c$ ]] && echo regex
[[ ( a = a || b = c ) && ! -e none ]] && echo group
x='a b'; [[ $x = 'a b' ]] && echo unsplit
printenv HOME; printenv nothing; echo $?; truncate -s 5 f; truncate -s +3 f; stat -c %s f
