# eval and diff without --data
vise eval a.vise
vise diff a.vise b.vise
