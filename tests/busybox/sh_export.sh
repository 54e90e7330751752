x=1; sh -c 'echo "[$x]"'
export x; sh -c 'echo "[$x]"'
y=2 sh -c 'echo $y'; echo "[$y]"
export z=3; env | grep '^z='
unset x; sh -c 'echo "[$x]"'
readonly r=1; (r=2) ; echo $?
