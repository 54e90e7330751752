(exit 256); echo $?
sh -c 'exit 300'; echo $?
