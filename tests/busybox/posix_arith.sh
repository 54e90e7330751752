i=3; echo $((i*=2)) $((i)) $i; echo $((i > 5 && i < 10)); echo $(( (i + 1) % 4 )); echo $((-i)) $((+i)) $((1,2))
echo $((0xff + 010)); x='1+2'; echo $((x*2)); echo $(($(echo 3)+1)); echo $((1<2?10:20)); : $((n+=1)); echo $n
