def export_model(*a): pass
