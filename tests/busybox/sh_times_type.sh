type type | head -n 1
hash; echo $?
