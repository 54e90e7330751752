f() { OPTIND=1; while getopts :x:y o "$@"; do case $o in x) echo "x=$OPTARG";; y) echo y;; :) echo "missing $OPTARG";; \?) echo "unknown $OPTARG";; esac; done; shift $((OPTIND-1)); echo "rest $*"; }
f -x 1 -y a b; f -yx2 c; f -z; f -x; f -y -- -y
