echo a | sed 'k'; echo $?
echo a | sed 's/a'; echo $?
echo a | sed 's/\(/x/'; echo $?
