env -i A=1 B=2 env; A=3 env | grep ^A=; env -u HOME env | grep -c HOME; env X=y sh -c 'echo $X'
env nosuch; echo $?
