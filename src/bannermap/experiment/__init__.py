"""The offline experiment: do a user's counts over clusters help a click model that knows the context and the ids?"""
