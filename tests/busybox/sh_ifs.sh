IFS=:; set -- $(echo a:b::c); echo $#; echo "$*"
IFS=,; x="1,2,,3"; for i in $x; do echo "<$i>"; done
unset IFS; x="  a   b "; set -- $x; echo $# "$1" "$2"
