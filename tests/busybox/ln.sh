echo x > f; ln f h; cat h; ln -s f s; cat s; readlink s; ln -s f s; echo $?; ln -sf h s; readlink s
ln nothing x; echo $?; mkdir d; ln -s ../f d; cat d/f; [ -L s ] && echo link; [ -h f ] || echo no
