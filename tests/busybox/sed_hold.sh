printf '1\n2\n3\n' > f
sed -n '1!G;h;$p' f
sed 'N;s/\n/-/' f
sed ':a;N;$!ba;s/\n/,/g' f
sed 'x;1d' f; sed G f; sed -n 'H;${x;s/\n/,/g;p}' f
sed '$!N;P;D' f
sed 'n;d' f
