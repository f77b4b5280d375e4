# a model that is not there
vise info nowhere.vise
