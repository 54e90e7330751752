set -- -a -b val -c file other
while getopts ab:c o; do echo "$o $OPTARG"; done
shift $((OPTIND - 1)); echo "$@"
OPTIND=1; set -- -x; getopts a o; echo "$o"
OPTIND=1; set -- -b; getopts :b: o; echo "$o $OPTARG"
