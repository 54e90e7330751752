# component only
printf '1\n2\n3\n' | xargs -L 2 echo
