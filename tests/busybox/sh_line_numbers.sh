true

nosuchcmd
x=$((
1+1
))
echo $x
nosuchcmd2
