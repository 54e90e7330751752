echo "$(echo a; echo b)"
echo $(echo a; echo b)
x=`echo \`echo nested\``; echo $x
echo "$(echo "quo ted")"
y=$(exit 3); echo $?
echo $(cat <<E
in here
E
)
