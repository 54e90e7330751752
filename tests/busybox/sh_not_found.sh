foo_bar
echo $?
./nofile; echo $?
mkdir d; ./d; echo $?
/bin/nothing_at_all; echo $?
