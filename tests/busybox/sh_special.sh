echo $?
false; echo $?
echo $0
[ $$ -gt 0 ] && echo pid
echo "$-" | grep -c .
sleep 0 & [ -n "$!" ] && echo bang; wait
