cd /tmp; echo $PWD $OLDPWD | wc -w
