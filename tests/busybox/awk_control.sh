awk 'BEGIN{for(i=0;i<3;i++) printf "%d ", i; print ""}'
awk 'BEGIN{i=3; while(i>0) {printf "%d,", i--}; print ""}'
awk 'BEGIN{do {x++} while (x<5); print x}'
awk 'BEGIN{for(;;){if(++n>4)break; if(n==2)continue; print n}}'
awk 'BEGIN{if(1) print "a"; else print "b"; if(0) {print "c"} else if (2) print "d"}'
printf '1\n2\n3\n' | awk '$1==2{next}{print}'
printf '1\n2\n3\n' | awk '{print; if($1==2) exit 3} END{print "e"}'; echo $?
printf '1\n2\n3\n4\n5\n' | awk '/2/,/4/'
awk 'BEGIN{exit 4}'; echo $?
