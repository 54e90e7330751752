i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done
until [ $i -eq 0 ]; do i=$((i-1)); done; echo $i
while true; do i=$((i+1)); [ $i -ge 5 ] && break; done; echo $i
printf 'a b\nc d\n' | while read x y; do echo "$y $x"; done
