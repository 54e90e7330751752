[ a = a ]; echo $?
[ a != a ]; echo $?
[ -z "" ] && echo z; [ -n x ] && echo n
[ 1 -lt 2 ] && echo lt; [ 2 -ge 2 ] && echo ge
touch f; mkdir d
[ -f f ] && echo f; [ -d d ] && echo d; [ -e none ] || echo none
[ ! -s f ] && echo empty
[ a = a -a b = b ] && echo and; [ a = b -o b = b ] && echo or
[ ! a = b ] && echo not; test x && echo x
[ "a" \< "b" ] && echo less
[ 1 -eq x ]; echo $?
[ -f f; echo $?
