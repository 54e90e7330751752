awk 'BEGIN{print 1/0}'; echo $?
awk 'BEGIN{print f(}'; echo $?
awk '{print}' nofile; echo $?
