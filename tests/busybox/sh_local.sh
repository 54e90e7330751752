x=1; f() { local x; echo "[$x]"; x=2; echo $x; }; f; echo $x
while getopts 'ab:' o -a -b v; do echo $o $OPTARG; done; echo $OPTIND
f() { local OPTIND; while getopts xy o "$@"; do echo f$o; done; }; f -x -y; f -yx
f() { local a=1 b; b=$a; g; echo $a; }; g() { a=5; echo $a$b; }; a=0; f; echo $a ${b-unset}
