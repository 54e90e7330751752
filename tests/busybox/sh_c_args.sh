sh -c 'echo $0 $1 $2' zero one two
sh -ec 'false; echo no'; echo $?
sh -s a b <<'E'
echo $1 $2
E
echo 'echo from stdin' | sh
